// Which credential providers cargo would start for a registry.

package cargo

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Provider is a program that cargo would start for a token, with where that is configured. The
// zero Origin is cargo's default.
type Provider struct {
	Command []string // the program and its arguments; "cargo:token" and such are built in
	Origin  Origin
}

// builtIn are the names that no alias may take (Cargo Book, "Registry Authentication").
var builtIn = []string{
	"cargo:token", "cargo:paseto", "cargo:token-from-stdout", "cargo:wincred", "cargo:macos-keychain", "cargo:libsecret",
}

// Providers lists what cargo 1.95, run in this folder, would ask for a token of the registry with
// this index URL, in its order: the registry's own provider alone or, if it has none, the global
// ones. It is what takes effect, so projects and the environment count. Where cargo would refuse,
// so does Providers.
func (c *Config) Providers(index string) ([]Provider, error) {
	name, err := c.nameInUse(index)
	if err != nil {
		return nil, err
	}
	if name != "" {
		p, err := c.registryProvider(name)
		if err != nil {
			return nil, err
		}
		if p.Command != nil {
			return []Provider{c.resolve(p)}, nil
		}
	}
	return c.globalProviders()
}

// nameInUse is the name under which cargo looks for a registry's credentials. It follows from the
// index URL alone, and from the files only if the environment knows no name.
func (c *Config) nameInUse(index string) (string, error) {
	var names []string
	for name, known := range c.environmentIndexes() {
		if sameIndex(known, index) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		for _, name := range c.fileNames(c.files) {
			if known, _, _, err := indexIn(c.files, name); err == nil && sameIndex(known, index) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	switch len(names) {
	case 0:
		return "", nil
	case 1:
		return names[0], nil
	}
	return "", fmt.Errorf("cargo uses no registry whose index has several names: %s is %s", showIndex(index), Printable(strings.Join(names, ", ")))
}

func (c *Config) registryProvider(name string) (Provider, error) {
	key := variable(name, "CREDENTIAL_PROVIDER")
	if text, found := c.env.Lookup(key); found {
		words := strings.Fields(text)
		if len(words) == 0 {
			return Provider{}, fmt.Errorf("reading cargo's configuration: %s is empty, which cargo refuses", key)
		}
		return Provider{Command: words, Origin: Origin{Variable: key}}, nil
	}
	keys := []string{"registries", name, "credential-provider"}
	if err := oneType(slices.Concat(c.files, c.credentials), keys); err != nil {
		return Provider{}, err
	}
	words, origin, err := providerIn(c.files, keys...)
	if err != nil {
		return Provider{}, err
	}
	late, lateOrigin, err := providerIn(c.credentials, keys...)
	switch {
	case err != nil:
		return Provider{}, err
	case words == nil:
		return Provider{Command: late, Origin: lateOrigin}, nil
	case late != nil && isList(c.credentials, keys):
		// Seen with 1.95: a list in the credentials file becomes arguments of the other.
		return Provider{Command: slices.Concat(words, late), Origin: origin}, nil
	case late != nil:
		return Provider{Command: late, Origin: lateOrigin}, nil
	}
	return Provider{Command: words, Origin: origin}, nil
}

// oneType refuses what cargo can't merge: a string in one file, a list in another.
func oneType(files []*configFile, keys []string) error {
	var first *configFile
	for _, f := range files {
		value := f.value(keys...)
		if value == nil {
			continue
		}
		if first == nil {
			first = f
		}
		_, isText := value.(string)
		_, firstIsText := first.value(keys...).(string)
		if isText != firstIsText {
			return fmt.Errorf("reading cargo's configuration: %s is a string in one and a list in the other of %v and %v, which cargo refuses",
				keyText(keys), first.origin(keys...), f.origin(keys...))
		}
	}
	return nil
}

func isList(files []*configFile, keys []string) bool {
	for _, f := range files {
		if value := f.value(keys...); value != nil {
			_, list := value.([]any)
			return list
		}
	}
	return false
}

// globalProviders joins the lists of all files and the environment. What comes last is asked first.
func (c *Config) globalProviders() ([]Provider, error) {
	keys := []string{"registry", "global-credential-providers"}
	var providers []Provider
	const key = "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS"
	if text, found := c.env.Lookup(key); found {
		for _, word := range slices.Backward(strings.Fields(text)) {
			providers = append(providers, c.resolve(Provider{Command: []string{word}, Origin: Origin{Variable: key}}))
		}
	}
	for _, f := range c.files {
		value := f.value(keys...)
		if value == nil {
			continue
		}
		list, ok := value.([]any)
		if !ok {
			return nil, f.wrongType("a list of strings", keys...)
		}
		for _, element := range slices.Backward(list) {
			text, _ := element.(string)
			words := strings.Fields(text)
			if len(words) == 0 {
				return nil, f.wrongType("a list of strings, each with a program in it", keys...)
			}
			providers = append(providers, c.resolve(Provider{Command: words, Origin: f.origin(keys...)}))
		}
	}
	if len(providers) == 0 {
		providers = []Provider{{Command: []string{"cargo:token"}}}
	}
	return providers, nil
}

// resolve replaces a program without arguments by its alias, and makes a relative path absolute.
func (c *Config) resolve(p Provider) Provider {
	program := p.Command[0]
	if len(p.Command) == 1 && !slices.Contains(builtIn, program) {
		if words, origin, err := providerIn(c.files, aliasKeys(program)...); err == nil && words != nil {
			p = Provider{Command: words, Origin: origin}
		}
	}
	program = p.Command[0]
	if strings.ContainsAny(program, "/"+string(os.PathSeparator)) && !filepath.IsAbs(program) {
		p.Command = slices.Concat([]string{filepath.Join(c.base(p.Origin), program)}, p.Command[1:])
	}
	return p
}

// aliasKeys is where cargo 1.95 looks for the alias of a program: it takes the dots in the name for those between the
// keys of tables, so that the key "a.b" in quotes is no alias of a.b, and a table a with the key b is one.
func aliasKeys(program string) []string {
	return append([]string{"credential-alias"}, strings.Split(program, ".")...)
}

// base is the folder that relative paths count from: the one that holds ".cargo".
func (c *Config) base(o Origin) string {
	if o.File == "" {
		return c.env.Dir
	}
	return filepath.Dir(filepath.Dir(o.File))
}
