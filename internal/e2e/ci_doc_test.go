// The examples of docs/ci.md, taken out of the page so that they can be run as they stand there.

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// exampleIndex is the registry of every example; a test puts a real one in its place.
const exampleIndex = "sparse+https://crates.example.com/index/"

// A block is one fenced part of the page.
type block struct{ language, text string }

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// blocks are the fenced parts of the page in their order, with index in place of the example's.
func blocks(t *testing.T, index string) []block {
	t.Helper()
	var all []block
	for _, match := range fence.FindAllStringSubmatch(read(t, "..", "..", "docs", "ci.md"), -1) {
		all = append(all, block{match[1], strings.ReplaceAll(match[2], exampleIndex, index)})
	}
	return all
}

// An actionsFile is as much of a workflow as the example uses: a member that is not here is an
// error, as nobody would know whether the test does what the platform does.
type actionsFile struct {
	Name        string
	On          any
	Permissions map[string]string
	Env         map[string]string
	Jobs        inOrder[actionsJob]
}

type actionsJob struct {
	Needs       string
	RunsOn      string `yaml:"runs-on"`
	Environment string
	Steps       []actionsStep
}

type actionsStep struct {
	Name, Uses, Run, If string
	With                map[string]string
	Env                 map[string]string
}

// A gitlabFile is as much of GitLab's as the example uses.
type gitlabFile struct {
	Stages    []string
	Variables map[string]string
	Jobs      inOrder[gitlabJob] `yaml:"-"`
}

type gitlabJob struct {
	Stage, Image, Environment string
	Variables                 map[string]string
	Needs, Script             []string
	Rules                     []struct{ If string }
	Artifacts                 struct {
		Paths    []string
		ExpireIn string `yaml:"expire_in"`
	}
}

// inOrder is a mapping whose order counts.
type inOrder[V any] []named[V]

type named[V any] struct {
	name  string
	value V
}

func (o *inOrder[V]) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: not a mapping", node.Line)
	}
	for i := 0; i < len(node.Content); i += 2 {
		var value V
		if err := strictly(node.Content[i+1], &value); err != nil {
			return fmt.Errorf("%s: %w", node.Content[i].Value, err)
		}
		*o = append(*o, named[V]{node.Content[i].Value, value})
	}
	return nil
}

// strictly decodes a node and refuses members that the type does not have.
func strictly(node *yaml.Node, into any) error {
	text, err := yaml.Marshal(node)
	if err != nil {
		return err
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	return decoder.Decode(into)
}

// UnmarshalYAML takes every top-level member that is no keyword for a job, as GitLab does.
func (f *gitlabFile) UnmarshalYAML(node *yaml.Node) error {
	jobs := *node
	jobs.Content = nil
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		var err error
		switch key.Value {
		case "stages":
			err = value.Decode(&f.Stages)
		case "variables":
			err = value.Decode(&f.Variables)
		default:
			jobs.Content = append(jobs.Content, key, value)
		}
		if err != nil {
			return err
		}
	}
	return f.Jobs.UnmarshalYAML(&jobs)
}

// pipelines are the two examples.
func pipelines(t *testing.T, all []block) (github *actionsFile, gitlab *gitlabFile) {
	t.Helper()
	for _, b := range all {
		if b.language != "yaml" {
			continue
		}
		var node yaml.Node
		err := yaml.Unmarshal([]byte(b.text), &node)
		switch {
		case err != nil:
		case strings.Contains(b.text, "\njobs:"):
			err = strictly(&node, &github)
		case strings.Contains(b.text, "\nstages:"):
			err = strictly(&node, &gitlab)
		}
		if err != nil {
			t.Fatalf("reading an example: %v\n%s", err, b.text)
		}
	}
	if github == nil || gitlab == nil || len(github.Jobs) < 2 || len(gitlab.Jobs) < 3 {
		t.Fatal("docs/ci.md has lost an example")
	}
	return github, gitlab
}
