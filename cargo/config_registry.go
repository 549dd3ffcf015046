// Registries by name and by index URL, and whose word counts for them.

package cargo

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A Registry is a registry as the user configured it.
type Registry struct {
	Name   string
	Index  string // as cargo spells it to a credential provider
	Origin Origin // of the index

	// CredentialProvider is the registry's own line: the program (as written) and its arguments.
	// Nil if it has none.
	CredentialProvider []string
	ProviderOrigin     Origin
}

// An UnknownRegistryError says that the user configured no registry of that name.
type UnknownRegistryError struct {
	Name string
	Home string // cargo's home folder, where it was looked for
}

// Error names the registry.
func (e *UnknownRegistryError) Error() string {
	return fmt.Sprintf("no registry %q in %q or in the environment", e.Name, e.Home)
}

// A ProjectOverrideError refuses a name that a project's configuration sets and the user's does
// not, or not to the same index: what is enrolled is the user's choice, not a checkout's.
type ProjectOverrideError struct {
	Name    string
	Project Origin // where the project sets it
	Index   string // to what; a password in it is masked
	Own     string // the user's own index URL, "" if there is none
}

// Error shows the file and both URLs.
func (e *ProjectOverrideError) Error() string {
	if e.Own == "" {
		return fmt.Sprintf("registry %q is set only by a project: %v says %s", e.Name, e.Project, e.Index)
	}
	return fmt.Sprintf("registry %q is set differently by a project: %v says %s, not %s", e.Name, e.Project, e.Index, e.Own)
}

// checkName accepts the names that cargo accepts: letters, digits, "-" and "_", the first a letter
// or "_". It refuses crates-io, whose settings stand elsewhere and which knows no such tokens.
func checkName(name string) error {
	if name == "" {
		return fmt.Errorf("a registry's name is empty")
	}
	for i, r := range name {
		letter := r == '_' || unicode.IsLetter(r)
		later := r == '-' || unicode.In(r, unicode.Digit, unicode.Mn, unicode.Mc)
		if !letter && (i == 0 || !later) {
			return fmt.Errorf("registry name %.40q: cargo allows letters, digits, \"-\" and \"_\", and begins with a letter or \"_\"", name)
		}
	}
	if name == "crates-io" {
		return fmt.Errorf("registry name %q is cargo's own, for crates.io", name)
	}
	return nil
}

// variable is the name of the environment variable for a registry's setting.
func variable(name, setting string) string {
	key := strings.ToUpper(name + "_" + setting)
	return "CARGO_REGISTRIES_" + strings.ReplaceAll(key, "-", "_")
}

// Registry looks a name up in the user's own configuration: the environment, then $CARGO_HOME. The
// error is an [*UnknownRegistryError], a [*ProjectOverrideError], or says where a setting is
// not what cargo accepts.
func (c *Config) Registry(name string) (Registry, error) {
	if err := checkName(name); err != nil {
		return Registry{}, err
	}
	r, found, err := c.ownIndex(name)
	if err != nil {
		return Registry{}, err
	}
	if err := c.checkProjects(name, r.Index); err != nil {
		return Registry{}, err
	}
	if !found {
		return Registry{}, &UnknownRegistryError{Name: name, Home: c.home}
	}
	r.CredentialProvider, r.ProviderOrigin, err = c.ownProvider(name)
	return r, err
}

func (c *Config) ownIndex(name string) (r Registry, found bool, err error) {
	key := variable(name, "INDEX")
	text, found := c.env.Lookup(key)
	origin := Origin{Variable: key}
	if !found {
		text, origin, found, err = indexIn(c.own(), name)
	}
	if err != nil || !found {
		return Registry{}, false, err
	}
	spelt, err := spellIndex(text)
	if err != nil {
		return Registry{}, false, fmt.Errorf("reading cargo's configuration: %v: index of registry %q: %w", origin, name, err)
	}
	return Registry{Name: name, Index: spelt, Origin: origin}, true, nil
}

// indexIn finds a registry's index in the first file that sets it.
func indexIn(files []*configFile, name string) (text string, origin Origin, found bool, err error) {
	for _, f := range files {
		switch value := f.value("registries", name, "index").(type) {
		case nil:
			continue
		case string:
			return value, f.origin("registries", name, "index"), true, nil
		default:
			return "", Origin{}, false, f.wrongType("a string", "registries", name, "index")
		}
	}
	return "", Origin{}, false, nil
}

func (c *Config) checkProjects(name, own string) error {
	for _, f := range c.project() {
		text, origin, found, err := indexIn([]*configFile{f}, name)
		if err != nil {
			return err
		}
		if found && (own == "" || !sameIndex(text, own)) {
			return &ProjectOverrideError{Name: name, Project: origin, Index: showIndex(text), Own: own}
		}
	}
	return nil
}

func (c *Config) ownProvider(name string) ([]string, Origin, error) {
	key := variable(name, "CREDENTIAL_PROVIDER")
	if text, found := c.env.Lookup(key); found {
		return strings.Fields(text), Origin{Variable: key}, nil
	}
	return providerIn(c.own(), "registries", name, "credential-provider")
}

// providerIn reads a program and its arguments from the first file that sets them. Nil if none does.
func providerIn(files []*configFile, keys ...string) ([]string, Origin, error) {
	for _, f := range files {
		if value := f.value(keys...); value != nil {
			words, ok := parseWords(value)
			if !ok {
				return nil, Origin{}, f.wrongType("a string or a list of strings, with a program in it", keys...)
			}
			return words, f.origin(keys...), nil
		}
	}
	return nil, Origin{}, nil
}

// parseWords reads a program with arguments: a string is split at white space, a list is not.
func parseWords(value any) (words []string, ok bool) {
	switch value := value.(type) {
	case string:
		words = strings.Fields(value)
	case []any:
		for _, element := range value {
			word, isText := element.(string)
			if !isText {
				return nil, false
			}
			words = append(words, word)
		}
	}
	return words, len(words) > 0
}

// RegistryByIndex finds the name that the user gave an index URL. Of several names, which cargo
// refuses to use and [Config.Warnings] reports, it is the first in the alphabet. Names known to the
// environment alone are in lower case, with "_" for "-", as cargo takes them.
func (c *Config) RegistryByIndex(index string) (Registry, bool) {
	names := c.fileNames(c.own())
	for name := range c.environmentIndexes() {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		r, found, err := c.ownIndex(name)
		if err != nil || !found || !sameIndex(r.Index, index) || checkName(name) != nil {
			continue
		}
		if r.CredentialProvider, r.ProviderOrigin, err = c.ownProvider(name); err == nil {
			return r, true
		}
	}
	return Registry{}, false
}

// fileNames lists the registries that files give an index, in order.
func (c *Config) fileNames(files []*configFile) []string {
	var names []string
	for _, f := range files {
		registries, _ := f.value("registries").(map[string]any)
		for name := range registries {
			if f.value("registries", name, "index") != nil && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// environmentIndexes lists the registries of the environment: CARGO_REGISTRIES_MY_LAB_INDEX is "my_lab".
func (c *Config) environmentIndexes() map[string]string {
	indexes := make(map[string]string)
	for _, entry := range c.env.Environ {
		key, _, _ := strings.Cut(entry, "=")
		name, ok := strings.CutPrefix(key, "CARGO_REGISTRIES_")
		name, isIndex := strings.CutSuffix(name, "_INDEX")
		if ok && isIndex && name != "" {
			indexes[strings.ToLower(name)], _ = c.env.Lookup(key)
		}
	}
	return indexes
}
