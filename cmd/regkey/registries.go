// Which registry, and which key, a command is about.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// A target is a registry to enrol at.
type target struct {
	index  string
	name   string // what cargo calls it, or shall; may be empty
	config *cargo.Config
}

// label is how a person knows the registry.
func (t target) label() string {
	if t.name == "" {
		return t.index
	}
	return t.name
}

// target finds the registry by its name in the user's own configuration, or takes an index URL.
// name is what --name says.
func (a *app) target(registry, name string) (target, error) {
	if registry == "" {
		return target{}, usage("--registry is missing: a registry's name in cargo's configuration, or its index URL")
	}
	config, err := a.cargoConfig()
	if err != nil {
		return target{}, err
	}
	if !isIndex(registry) {
		r, err := config.Registry(registry)
		if err != nil {
			return target{}, fmt.Errorf("finding registry %q: %w", registry, err)
		}
		if name != "" && name != registry {
			return target{}, usage("--name %s: cargo knows the registry as %s already", name, registry)
		}
		return target{r.Index, registry, config}, enroll.CheckIndex(r.Index)
	}
	if err := enroll.CheckIndex(registry); err != nil {
		return target{}, usage("%w", err)
	}
	if r, found := config.RegistryByIndex(registry); found {
		if name != "" && name != r.Name {
			return target{}, usage("--name %s: cargo knows %s as %s already", name, r.Index, r.Name)
		}
		return target{r.Index, r.Name, config}, nil
	}
	if strings.HasPrefix(registry, "sparse+") && !strings.HasSuffix(registry, "/") {
		return target{}, usage("a sparse index URL ends in a slash: %s/", registry)
	}
	return target{registry, name, config}, checkFree(config, name, registry)
}

// checkFree refuses a name that stands for another registry.
func checkFree(config *cargo.Config, name, index string) error {
	if name == "" {
		return nil
	}
	r, err := config.Registry(name)
	var unknown *cargo.UnknownRegistryError
	if errors.As(err, &unknown) {
		return nil
	}
	if err == nil {
		return usage("--name %s: that name stands for %s in %v", name, r.Index, r.Origin)
	}
	return fmt.Errorf("giving %s the name %s: %w", index, name, err)
}

func isIndex(registry string) bool { return strings.Contains(registry, "://") }

func (a *app) cargoConfig() (*cargo.Config, error) {
	environment, err := a.environment()
	if err != nil {
		return nil, err
	}
	return cargo.OpenConfig(environment)
}

// enrolment finds an enrolment by index URL, by the name that it was made with, or by cargo's name
// for its index. Without a name it is the only one, or a person chooses. Of several accounts at one
// registry it is the one in use.
func (a *app) enrolment(ctx context.Context, home, registry string) (*enroll.Enrolment, error) {
	all, err := enroll.ListEnrolments(home)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(e *enroll.Enrolment) bool {
		used, err := enroll.LookupEnrolment(home, e.Index)
		return err == nil && used.Account != e.Account
	})
	if registry == "" {
		return a.chooseEnrolment(ctx, all)
	}
	var found []*enroll.Enrolment
	for _, e := range all {
		if e.Index == registry || e.Name == registry {
			found = append(found, e)
		}
	}
	if len(found) > 1 {
		return nil, usage("several enrolments are called %s: give the index URL, %s or %s", registry, found[0].Index, found[1].Index)
	}
	if len(found) == 1 {
		return found[0], nil
	}
	return a.enrolmentByCargo(all, registry)
}

// enrolmentAs is enrolment as that account, "" being the one in use.
func (a *app) enrolmentAs(ctx context.Context, home, registry, account string) (*enroll.Enrolment, error) {
	e, err := a.enrolment(ctx, home, registry)
	if err != nil || account == "" || e.Account == account {
		return e, err
	}
	other, err := enroll.LookupAccount(home, e.Index, account)
	if err == nil && other.Account == account {
		return other, nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = advised(fmt.Errorf("this machine is not enrolled at %s as %s", label(e), account), "\"regkey status\" shows the accounts")
	}
	return nil, err
}

func (a *app) enrolmentByCargo(all []*enroll.Enrolment, registry string) (*enroll.Enrolment, error) {
	index := registry
	if !isIndex(registry) {
		config, err := a.cargoConfig()
		if err != nil {
			return nil, err
		}
		r, err := config.Registry(registry)
		if err != nil {
			return nil, notEnrolled(registry, all)
		}
		index = r.Index
	}
	for _, e := range all {
		if e.Index == index {
			return e, nil
		}
	}
	return nil, notEnrolled(registry, all)
}

func notEnrolled(registry string, all []*enroll.Enrolment) error {
	err := fmt.Errorf("this machine is not enrolled at %s", registry)
	if len(all) == 0 {
		return advised(err, "it is enrolled nowhere yet: \"regkey enroll --registry "+registry+"\"")
	}
	return advised(err, "it is enrolled at "+strings.Join(labels(all), ", "))
}

func (a *app) chooseEnrolment(ctx context.Context, all []*enroll.Enrolment) (*enroll.Enrolment, error) {
	switch len(all) {
	case 0:
		return nil, advised(errors.New("this machine is enrolled nowhere"), `"regkey enroll --registry NAME" begins`)
	case 1:
		return all[0], nil
	}
	label, err := a.choose(ctx, "Which registry?", "--registry", labels(all))
	if err != nil {
		return nil, err
	}
	for i, l := range labels(all) {
		if l == label {
			return all[i], nil
		}
	}
	return nil, errCancelled
}

// label is how the user knows an enrolment's registry.
func label(e *enroll.Enrolment) string {
	if e.Name == "" {
		return e.Index
	}
	return e.Name
}

// labels names enrolments so that no two look the same.
func labels(all []*enroll.Enrolment) []string {
	seen := map[string]int{}
	for _, e := range all {
		seen[label(e)]++
	}
	names := make([]string, len(all))
	for i, e := range all {
		if names[i] = label(e); seen[names[i]] > 1 {
			names[i] = e.Index
		}
	}
	return names
}

// key is [app.lookup], and a key whose record was lost is opened, so that its public half is known.
func (a *app) key(ctx context.Context, store *keys.Store, name string) (keys.Record, error) {
	record, err := a.lookup(ctx, store, name)
	if err == nil && record.Public.IsZero() {
		var key keys.Signer
		if key, err = a.unlock(ctx, store, record.Name); err != nil {
			return keys.Record{}, err
		}
		record.Public = key.Public()
	}
	return record, err
}

// lookup finds the key with that name; without a name it is the only one, or a person chooses.
func (a *app) lookup(ctx context.Context, store *keys.Store, name string) (keys.Record, error) {
	if name == "" {
		var err error
		if name, err = a.chooseKey(ctx, store); err != nil {
			return keys.Record{}, err
		}
	}
	record, err := store.Lookup(name)
	if errors.Is(err, fs.ErrNotExist) {
		return keys.Record{}, advised(fmt.Errorf("there is no key %s: %w", name, fs.ErrNotExist),
			"\"regkey init "+name+"\" makes it; \"regkey status\" lists the keys that there are")
	}
	return record, err
}

func (a *app) chooseKey(ctx context.Context, store *keys.Store) (string, error) {
	records, err := store.List()
	if err != nil {
		return "", err
	}
	var names []string
	for _, r := range records {
		if !readsFor(r, records) {
			names = append(names, r.Name)
		}
	}
	switch len(names) {
	case 0:
		return "", advised(errors.New("there is no key yet"), `"regkey init NAME" makes one`)
	case 1:
		return names[0], nil
	}
	return a.choose(ctx, "Which key?", "--key", names)
}

// readsFor reports whether the key was made to read for another one of this machine: nobody is asked about
// such a key, which comes and goes with the other.
func readsFor(r keys.Record, records []keys.Record) bool {
	at := strings.LastIndex(r.Name, readerSuffix)
	if at < 0 || strings.Trim(r.Name[at+len(readerSuffix):], "-0123456789") != "" {
		return false
	}
	of := r.Name[:at]
	return slices.ContainsFunc(records, func(other keys.Record) bool { return other.Name == of && other.WantsReader() })
}
