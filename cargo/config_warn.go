// What would win over the line that regkey writes, or leak beside it.

package cargo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Warning is one finding: where, and a sentence that says what it does and what to do. It never
// holds a value that may be secret.
type Warning struct {
	Where, What string
}

// String is the place and the sentence.
func (w Warning) String() string { return w.Where + ": " + w.What }

// Warnings lists what works against `credential-provider = [provider…]` under [registries.name] in
// $CARGO_HOME, for the registry with this index URL: secrets left over, and settings by which
// cargo, run in this folder, would go elsewhere, start something else, or stop. It may be called
// before that line is written. An empty list promises nothing about other folders.
func (c *Config) Warnings(name, index string, provider []string) []Warning {
	w := warner{config: c, name: name, index: index, provider: provider}
	w.passedOver()
	w.secrets()
	w.providers()
	w.indexes()
	w.names()
	w.aliases()
	w.sources()
	return w.found
}

type warner struct {
	config      *Config
	name, index string
	provider    []string
	found       []Warning
}

func (w *warner) add(origin Origin, format string, args ...any) {
	found := Warning{Where: origin.String(), What: fmt.Sprintf(format, args...)}
	if !slices.Contains(w.found, found) {
		w.found = append(w.found, found)
	}
}

func (w *warner) passedOver() {
	for _, p := range w.config.passedOver {
		w.add(Origin{File: p.path}, "cargo does not read this file, because %s is there; make them one", p.instead)
	}
}

// secrets finds leftovers in all files of the user's and the project's, those that cargo passes
// over included: they are read by others.
func (w *warner) secrets() {
	files := slices.Concat(w.config.files, w.config.credentials)
	for _, p := range w.config.passedOver {
		if p.file != nil {
			files = append(files, p.file)
		}
	}
	for _, setting := range []string{"token", "secret-key"} {
		for _, f := range files {
			if keys := []string{"registries", w.name, setting}; f.value(keys...) != nil {
				w.add(f.origin(keys...), "a %s for registry %q is left over here; cargo ignores it beside a credential provider, "+
					"but whoever reads this file can use it: end it at the registry, then delete the line", setting, w.name)
			}
		}
		key := variable(w.name, strings.ReplaceAll(setting, "-", "_"))
		if _, found := w.config.env.Lookup(key); found {
			w.add(Origin{Variable: key}, "a %s for registry %q is left over here; cargo ignores it beside a credential provider, "+
				"but every program started from here can read it: end it at the registry, then unset the variable", setting, w.name)
		}
	}
}

func (w *warner) providers() {
	key := variable(w.name, "CREDENTIAL_PROVIDER")
	if text, found := w.config.env.Lookup(key); found && !slices.Equal(strings.Fields(text), w.provider) {
		w.add(Origin{Variable: key}, "this wins over the credential-provider in cargo's configuration; unset it")
	}
	keys := []string{"registries", w.name, "credential-provider"}
	for _, f := range slices.Concat(w.config.files, w.config.credentials) {
		value := f.value(keys...)
		if value == nil {
			continue
		}
		words, ok := parseWords(value)
		_, isText := value.(string)
		inPlace := !f.project && !f.included && !slices.Contains(w.config.credentials, f)
		switch {
		case inPlace: // this very line is replaced
		case isText || !ok:
			w.add(f.origin(keys...), "cargo will stop with an error, because credential-provider for registry %q is not a list here; delete it", w.name)
		case slices.Contains(w.config.credentials, f):
			w.add(f.origin(keys...), "cargo adds this credential-provider to the one in its configuration, as arguments; delete it")
		case f.project && !slices.Equal(words, w.provider):
			w.add(f.origin(keys...), "this project sets another credential-provider for registry %q, and it may win; delete it", w.name)
		}
	}
}

// indexes finds other index URLs for the same name.
func (w *warner) indexes() {
	key := variable(w.name, "INDEX")
	if text, found := w.config.env.Lookup(key); found && !sameIndex(text, w.index) {
		w.add(Origin{Variable: key}, "this leads registry %q to %s, not to %s", w.name, showIndex(text), w.index)
	}
	for _, f := range w.config.project() {
		if text, origin, found, err := indexIn([]*configFile{f}, w.name); err == nil && found && !sameIndex(text, w.index) {
			w.add(origin, "this project leads registry %q to %s, not to %s", w.name, showIndex(text), w.index)
		}
	}
}

// names finds other names for the same index URL.
func (w *warner) names() {
	known := w.config.environmentIndexes()
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if sameIndex(known[name], w.index) && name != w.name {
			w.add(Origin{Variable: variable(name, "INDEX")}, "because of this, cargo looks for this registry's credential-provider under the name %q, not %q; unset it", name, w.name)
		}
	}
	for _, f := range w.config.files {
		for _, name := range w.config.fileNames([]*configFile{f}) {
			text, origin, _, err := indexIn([]*configFile{f}, name)
			if err == nil && name != w.name && sameIndex(text, w.index) {
				w.add(origin, "registry %q has the same index as %q, and cargo refuses two names for one index; delete one", name, w.name)
			}
		}
	}
}

func (w *warner) aliases() {
	if len(w.provider) != 1 {
		return // cargo looks for an alias only if there are no arguments
	}
	keys := aliasKeys(w.provider[0])
	for _, f := range w.config.files {
		if f.value(keys...) != nil {
			w.add(f.origin(keys...), "this alias makes cargo start another program instead of %s; delete it", w.provider[0])
		}
	}
}

// sources finds source replacement, by which builds read the crates from elsewhere.
func (w *warner) sources() {
	for _, f := range w.config.files {
		sources, _ := f.value("source").(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(sources)) {
			text, isText := f.value("source", name, "registry").(string)
			if isText && sameIndex(text, w.index) && f.value("source", name, "replace-with") != nil {
				w.add(f.origin("source", name, "replace-with"), "because of this, builds read the crates of registry %q from another place", w.name)
			}
		}
	}
}
