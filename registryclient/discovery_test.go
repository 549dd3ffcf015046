// What a discovery document may say. The documents are written down here, and not served by the
// real registry, because they are those that it never writes; those that it does are in the tests
// against it.

package registryclient

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// member is a good regkey member with a changed one; a change of "" leaves the member out.
func member(index string, changes ...string) string {
	values := map[string]string{
		"version": "1", "index": fmt.Sprintf("%q", index), "former": "[]", "api": `"https://crates.example.com/api/regkey/v1"`,
		"tokens": `["v4.public"]`, "max-age": "300", "bootstrap": `["code"]`, "challenge": "false",
	}
	for i := 0; i+1 < len(changes); i += 2 {
		values[changes[i]] = changes[i+1]
	}
	var parts []string
	for name, value := range values {
		if value != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", name, value))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

const (
	https = "sparse+https://crates.example.com/index/"
	local = "sparse+http://127.0.0.1:8686/index/"
)

func TestCheck(t *testing.T) {
	api := func(url string) string { return member(https, "api", fmt.Sprintf("%q", url)) }
	localAPI := func(url string) string { return member(local, "api", fmt.Sprintf("%q", url)) }
	for name, test := range map[string]struct {
		index, document string
		insecure        bool
		says            string // "" means that it is taken
	}{
		"as served":              {https, member(https), false, ""},
		"no more than needed":    {https, member(https, "former", "", "tokens", "", "max-age", "", "bootstrap", "", "challenge", ""), false, ""},
		"members of later":       {https, member(https, "later", `{"a":[1]}`), false, ""},
		"API elsewhere":          {https, api("https://api.example.org:8443/v1/"), false, ""},
		"API on this machine":    {local, localAPI("http://127.0.0.1:9/api"), false, ""},
		"by another name":        {local, localAPI("http://localhost:9/api"), false, ""},
		"by IPv6":                {local, localAPI("http://[::1]:9/api"), false, ""},
		"insecure, allowed":      {"sparse+http://lab.example/", member("sparse+http://lab.example/", "api", `"http://lab.example/api"`), true, ""},
		"insecure":               {local, localAPI("http://crates.example.com/api"), false, "plain http"},
		"below localhost":        {local, localAPI("http://crates.localhost/api"), false, "plain http"},
		"all addresses":          {local, localAPI("http://0.0.0.0:9/api"), false, "plain http"},
		"out of TLS":             {https, api("http://crates.example.com/api"), false, "plain http"},
		"out of TLS, allowed":    {https, api("http://crates.example.com/api"), true, "plain http"},
		"a service of mine":      {https, api("https://127.0.0.1:6443/api"), false, "not on this machine"},
		"mine by name":           {https, api("https://localhost/api"), false, "not on this machine"},
		"mine by IPv6":           {https, api("https://[::ffff:127.0.0.1]/api"), false, "not on this machine"},
		"mine, allowed http":     {"sparse+http://lab.example/", member("sparse+http://lab.example/", "api", `"http://127.0.0.1:2375/v1"`), true, "not on this machine"},
		"a query":                {https, api("https://crates.example.com/api?x=1"), false, "query"},
		"an empty query":         {https, api("https://crates.example.com/api?"), false, "query"},
		"a fragment":             {https, api("https://crates.example.com/api#x"), false, "query or fragment"},
		"an empty fragment":      {https, api("https://crates.example.com/api#"), false, "query or fragment"},
		"a user":                 {https, api("https://a@crates.example.com/api"), false, "user name"},
		"a password":             {https, api("https://a:b@crates.example.com/api"), false, "user name"},
		"no host":                {https, api("https:///api"), false, "not a URL"},
		"a port alone":           {https, api("https://:443/api"), false, "not a URL"},
		"a path":                 {https, api("/api/regkey/v1"), false, "not a URL"},
		"no slashes":             {https, api("https:crates.example.com/api"), false, "not a URL"},
		"a backslash":            {https, api(`https://crates.example.com\@evil.example/api`), false, "not a URL"},
		"a space":                {https, api("https://crates.example.com/a b"), false, "not a URL"},
		"another alphabet":       {https, api("https://crаtes.example.com/api"), false, "not a URL"},
		"a long one":             {https, api("https://crates.example.com/" + strings.Repeat("a", 2000)), false, "not a URL"},
		"another scheme":         {https, api("file://crates.example.com/etc"), false, "https"},
		"no API":                 {https, member(https, "api", ""), false, "not a URL"},
		"an empty API":           {https, api(""), false, "not a URL"},
		"version 2":              {https, `{"version":2,"api":{"keysets":"…"}}`, false, "version 2"},
		"version 0":              {https, member(https, "version", "0"), false, "version 0"},
		"no version":             {https, member(https, "version", ""), false, "version 0"},
		"version as text":        {https, member(https, "version", `"1"`), false, "can't be read"},
		"version 1.5":            {https, member(https, "version", "1.5"), false, "can't be read"},
		"version beyond an int":  {https, member(https, "version", "1e99"), false, "can't be read"},
		"a list":                 {https, "[]", false, "can't be read"},
		"a text":                 {https, `"regkey"`, false, "can't be read"},
		"API as number":          {https, member(https, "api", "7"), false, "can't be read"},
		"tokens as text":         {https, member(https, "tokens", `"v4.public"`), false, "can't be read"},
		"challenge as text":      {https, member(https, "challenge", `"no"`), false, "can't be read"},
		"max-age as text":        {https, member(https, "max-age", `"300"`), false, "can't be read"},
		"max-age below 0":        {https, member(https, "max-age", "-1"), false, "max-age"},
		"max-age that overflows": {https, member(https, "max-age", "9223372036854775807"), false, "max-age"},
		"moved":                  {https, member(https, "former", `["sparse+https://old.example/index/","https://older.example/index"]`), false, ""},
		"moved back":             {https, member(https, "former", fmt.Sprintf(`["sparse+https://old.example/index/",%q]`, https)), false, ""},
		"moved from nowhere":     {https, member(https, "former", `[""]`), false, "former index"},
		"moved from a path":      {https, member(https, "former", `["/index"]`), false, "former index"},
		"moved from a colour":    {https, member(https, "former", `["sparse+https://old.example/\u001b[31m"]`), false, "former index"},
		"moved from afar":        {https, member(https, "former", `["sparse+https://`+strings.Repeat("a", 600)+`/"]`), false, "former index"},
		"moved too often":        {https, member(https, "former", `["https://a/"`+strings.Repeat(`,"https://a/"`, 100)+`]`), false, "101 former"},
		"former as text":         {https, member(https, "former", `"sparse+https://old.example/"`), false, "can't be read"},
		"a name twice":           {https, `{"version":1,"version":1}`, false, "can't be read"},
		"no index":               {https, member(https, "index", ""), false, "no index URL"},
		"an index of words":      {https, member("run this: rm -rf"), false, "no index URL"},
		"an index for a shell":   {https, member("sparse+https://x.example/$(id)/"), false, "no index URL"},
		"a long index":           {https, member("sparse+https://x.example/" + strings.Repeat("a", 2000)), false, "no index URL"},
		"an index to colour":     {https, member(https, "index", `"sparse+https://x.example/\u001b[31m"`), false, "no index URL"},
		"another index":          {https, member("sparse+https://evil.example/index/"), false, "calls its index otherwise: expected was the index sparse+https://crates.example.com/index/, and sparse+https://evil.example/index/ came"},
		"another case":           {https, member("sparse+https://Crates.example.com/index/"), false, "calls its index"},
	} {
		t.Run(name, func(t *testing.T) {
			var d Discovery
			err := New(test.index, Options{InsecureHTTP: test.insecure}).check([]byte(test.document), &d)
			if test.says == "" {
				if slices.Contains(d.Former, d.Index) {
					t.Errorf("the present index is a former one: %q", d.Former)
				}
				if err != nil || d.Index != test.index || d.API == "" || strings.HasSuffix(d.API, "/") {
					t.Errorf("%+v (%v)", d, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("%v, want %q", err, test.says)
			}
			shows(t, err)
			if errors.Is(err, ErrPlainHTTP) != (test.says == "plain http") {
				t.Errorf("%v is ErrPlainHTTP, or is not", err)
			}
			if _, ok := errors.AsType[*IndexError](err); ok != strings.HasPrefix(test.says, "calls its index") {
				t.Errorf("%v is an IndexError, or is not", err)
			}
		})
	}
}

// The user's own URL is checked like any other, and shown without what is secret in it.
func TestIndexURLs(t *testing.T) {
	for index, says := range map[string]string{
		"https://github.com/rust-lang/crates.io-index":  "not a sparse index",
		"sparse+http://crates.example.com/index/":       "plain http",
		"sparse+https://me:hunter2@crates.example.com/": "user name or password",
		"https://me:hunter2@crates.example.com/":        "not a sparse index",
		"sparse+https://hunter2@crates.example.com/":    "user name or password",
		"sparse+https://me:hunter2@crates.ex ample/":    "not a URL",
		"sparse+https://crates.example.com/index?a=b":   "query",
		"sparse+ftp://crates.example.com/":              "https",
		"sparse+":                                       "not a URL",
		"sparse+https://crates.example.com/\x1b[31m":    "not a URL",
	} {
		client, _ := recording(New(index, Options{}))
		client.http.Transport = nobody{t}
		_, err := client.Discover(t.Context())
		undecided(t, err)
		if !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q", index, err, says)
		}
	}
}

// nobody is a transport that nothing may reach.
type nobody struct{ t *testing.T }

func (n nobody) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("%s was asked", r.URL)
	return nil, io.ErrClosedPipe
}

func TestConfig(t *testing.T) {
	for name, test := range map[string]struct {
		config, wellKnown string // MEMBER is a good one
		status, known     int
		says              string
	}{
		"in config.json":          {`{"dl":"x","regkey":MEMBER}`, "", 200, 404, ""},
		"with a byte order mark":  {"\ufeff" + `{"regkey":MEMBER}`, "", 200, 404, "not the JSON"},
		"none":                    {`{"dl":"x"}`, "", 200, 200, "no key API"},
		"null":                    {`{"dl":"x","regkey":null}`, "", 200, 200, "no key API"},
		"another case":            {`{"dl":"x","Regkey":MEMBER}`, "", 200, 200, "no key API"},
		"twice":                   {`{"regkey":MEMBER,"regkey":MEMBER}`, "", 200, 200, "not the JSON"},
		"a page":                  {`<html>`, "", 200, 200, "not the JSON"},
		"missing":                 {``, "", 404, 200, "404"},
		"broken":                  {``, "", 500, 200, "500"},
		"well-known, wrapped":     {``, `{"regkey":MEMBER}`, 401, 200, ""},
		"well-known, bare":        {``, `MEMBER`, 401, 200, ""},
		"forbidden":               {``, `{"regkey":MEMBER}`, 403, 200, ""},
		"forbidden with a code":   {`{"errors":[{"code":"no-token","detail":"no"}]}`, `{"regkey":MEMBER}`, 403, 200, ""},
		"well-known missing":      {``, ``, 401, 404, "no key API"},
		"well-known missing too":  {``, `{"errors":[{"code":"not-found","detail":"no"}]}`, 401, 404, "no key API"},
		"well-known closed":       {``, ``, 401, 401, "no key API"},
		"well-known overloaded":   {``, ``, 401, 429, "429"},
		"well-known broken":       {``, ``, 401, 500, "500"},
		"well-known a page":       {``, `<html>`, 401, 200, "not the JSON"},
		"well-known null":         {``, `null`, 401, 200, "not the JSON"},
		"well-known twice":        {``, `{"regkey":MEMBER,"regkey":MEMBER}`, 401, 200, "not the JSON"},
		"well-known, other thing": {``, `{"a":1}`, 401, 200, "version 0"},
	} {
		t.Run(name, func(t *testing.T) {
			var good string
			listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" {
					t.Error("a token was sent to discover")
				}
				status, text := test.status, test.config
				if r.URL.Path == "/.well-known/regkey.json" {
					status, text = test.known, test.wellKnown
				}
				say(status, strings.ReplaceAll(text, "MEMBER", good))(w, r)
			}))
			defer listening.Close()
			index := "sparse+" + listening.URL + "/index/"
			good = member(index, "api", fmt.Sprintf("%q", listening.URL+"/api"))
			client, _ := recording(New(index, Options{}))
			d, err := client.Discover(t.Context())
			if test.says != "" {
				undecided(t, err)
				if !strings.Contains(err.Error(), test.says) || errors.Is(err, ErrNoKeyAPI) != (test.says == "no key API") {
					t.Errorf("%v, want %q", err, test.says)
				}
				return
			}
			if err != nil || d.API != listening.URL+"/api" || d.AuthRequired != (test.status != 200) {
				t.Errorf("%+v (%v)", d, err)
			}
		})
	}
}

// No document can make a client count with a time that overflows.
func TestMaxAgeFits(t *testing.T) {
	if d := time.Duration(maxMaxAge) * time.Second; d <= 0 || d/time.Second != maxMaxAge {
		t.Errorf("%d seconds are %v", maxMaxAge, d)
	}
}

// A registry that still answers at its former address says where it is now, and nothing more is believed of it.
func TestMovedAway(t *testing.T) {
	const now = "sparse+https://new.example/index/"
	for former, want := range map[string]bool{fmt.Sprintf("[%q]", https): true, "[]": false, `["sparse+https://other.example/"]`: false} {
		err := New(https, Options{}).check([]byte(member(now, "former", former)), &Discovery{})
		wrong, ok := errors.AsType[*IndexError](err)
		if !ok || wrong.Moved != want || wrong.Want != https || wrong.Said != now || strings.Contains(err.Error(), "moved") != want {
			t.Errorf("former %s: %v, want an IndexError that says moved: %v", former, err, want)
		}
		shows(t, err)
	}
}
