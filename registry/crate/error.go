// Refusals: what the publisher did wrong, as a code and a sentence.

package crate

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// A Code names, for programs, why a publish was refused.
type Code string

// The codes. Each is the publisher's to mend.
const (
	// PublishMalformed: the body is not two length-prefixed parts, or its JSON is not what cargo sends.
	PublishMalformed Code = "publish-malformed"
	// PublishTooLarge: the metadata, the archive or the whole body is beyond its limit.
	PublishTooLarge Code = "publish-too-large"
	// NameInvalid: the crate's name is not one that this registry takes.
	NameInvalid Code = "crate-name-invalid"
	// VersionInvalid: the version is not Semantic Versioning 2.0.0.
	VersionInvalid Code = "crate-version-invalid"
	// ArchiveInvalid: the .crate file is not a gzipped tar of the kind that cargo makes.
	ArchiveInvalid Code = "crate-archive-invalid"
	// ArchiveTooLarge: the .crate file unpacks to more than the limits allow.
	ArchiveTooLarge Code = "crate-archive-too-large"
	// ManifestInvalid: the Cargo.toml inside the archive is not one that cargo normalized.
	ManifestInvalid Code = "crate-manifest-invalid"
	// MetadataDisagrees: the JSON beside the archive says other than the Cargo.toml inside.
	MetadataDisagrees Code = "crate-metadata-disagrees"
)

// An Error is a refusal that the publisher caused. Detail says what is wrong and what to do, without a
// capital or a full stop, as cargo shows it behind words of its own; it quotes what it cites and clips
// it, so that it holds no control characters of the publisher's and stays short.
type Error struct {
	Code   Code
	Detail string
}

// Error returns the detail.
func (e *Error) Error() string { return e.Detail }

// refuse makes an [*Error]; untrusted text must come through quote.
func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// quoteLimit bounds, in bytes, how much of the publisher's text an error repeats.
const quoteLimit = 100

// quote cites untrusted text: control characters escaped, long text clipped at a character.
func quote(text string) string {
	if len(text) <= quoteLimit {
		return strconv.Quote(text)
	}
	cut := quoteLimit
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strconv.Quote(text[:cut]) + "…"
}
