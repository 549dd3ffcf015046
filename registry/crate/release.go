// A release: an uploaded crate that was judged, with what the index will say of it.

package crate

import (
	"fmt"
	"os"
	"slices"
)

// An Origin is the registry that a crate is published to, by its index URLs as cargo's
// configuration has them ("sparse+https://…/index/").
type Origin struct {
	Index  string   // the current one
	Former []string // earlier ones, which still mean this registry
}

// registry translates an index URL that a crate names to the words of the index, where "" is this
// very registry.
func (o Origin) registry(url string) string {
	switch {
	case url == o.Index || slices.Contains(o.Former, url):
		return ""
	case url == "sparse+https://index.crates.io/":
		return CratesIO
	}
	return url
}

// A Release is a judged upload.
type Release struct {
	Entry    Entry     // what the index will say
	Manifest *Manifest // description, license and the like, for search
	Entries  int       // files and folders in the archive
	Unpacked int64     // bytes that it unpacks to
}

// maxLine is the longest index line, in bytes. Whoever uses a crate downloads the lines of all its versions.
const maxLine = 512 << 10

// Inspect judges a received crate: archive, Cargo.toml, and that the metadata sent beside it
// agrees with the Cargo.toml in name, version, dependencies, features, links and rust-version. An
// error is an [*Error] if the publisher caused it; its Detail names the field that disagrees.
// The temporary file stays as it was.
func (u *Upload) Inspect(origin Origin, limits ArchiveLimits) (*Release, error) {
	file, err := os.Open(u.Path)
	if err != nil {
		return nil, fmt.Errorf("inspecting crate: %w", err)
	}
	defer file.Close()
	archive, err := ReadArchive(file, u.Metadata.Name, u.Metadata.Version, limits)
	if err != nil {
		return nil, err
	}
	manifest, err := ParseManifest(archive.Manifest)
	if err != nil {
		return nil, err
	}
	entry := manifest.Entry(origin)
	if err := u.Metadata.agrees(&entry, origin); err != nil {
		return nil, err
	}
	entry.Checksum = u.Checksum
	if line, err := entry.Line(); err != nil {
		return nil, err
	} else if len(line) > maxLine {
		return nil, refuse(PublishTooLarge, "the index line of this version would have %d bytes, and the limit is %d: every build reads it, "+
			"so give the crate fewer or shorter features and dependencies", len(line), maxLine)
	}
	return &Release{Entry: entry, Manifest: manifest, Entries: archive.Entries, Unpacked: archive.Unpacked}, nil
}

// Entry returns what the index says of a crate with this manifest at origin; the checksum is
// the caller's to fill in. A dependency without "registry-index" comes from crates.io: so says a
// normalized Cargo.toml, while the index would take it for one of its own.
func (m *Manifest) Entry(origin Origin) Entry {
	e := Entry{
		Name: m.Name, Version: m.Version, Features: m.Features, Links: m.Links, RustVersion: m.RustVersion,
		Dependencies: slices.Clone(m.Dependencies),
	}
	for i := range e.Dependencies {
		d := &e.Dependencies[i]
		if d.Registry == "" {
			d.Registry = CratesIO
		} else {
			d.Registry = origin.registry(d.Registry)
		}
	}
	return e
}
