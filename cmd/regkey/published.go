// What a key has published: what to look at once it was in other hands.

package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
)

func sinceFlag(usage string) cli.Flag { return &cli.StringFlag{Name: "since", Usage: usage} }

// parseSince reads a day, a moment (RFC 3339), or how long ago ("48h", "3d"). It is in the past.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	since, err := time.Parse(time.RFC3339, text)
	if err != nil {
		since, err = time.Parse(time.DateOnly, text)
	}
	if err != nil {
		ago, durationErr := parseDuration(text)
		if durationErr != nil {
			return time.Time{}, usage("reading --since %.40q: neither a day (2026-11-20), nor a moment (2026-11-20T12:00:00Z), nor how long ago (3d, 12h)", text)
		}
		since = now.Add(-ago)
	}
	if since.After(now) {
		return time.Time{}, usage("reading --since %.40q: that is yet to come", text)
	}
	return since.UTC(), nil
}

// publishedFacts is what a registry says that a key has published, in JSON.
type publishedFacts struct {
	ID       string                            `json:"id"`
	Since    string                            `json:"since,omitzero"`
	Versions []registryclient.PublishedVersion `json:"versions"`
	More     bool                              `json:"more"` // there are more than 10,000
}

func published(ctx context.Context, client *registryclient.Client, id keys.ID, since time.Time) (*publishedFacts, error) {
	versions, more, err := client.Published(ctx, id, since)
	if err != nil {
		return nil, fmt.Errorf("asking what %v has published: %w", id, err)
	}
	if versions == nil {
		versions = []registryclient.PublishedVersion{}
	}
	return &publishedFacts{id.String(), moment(since), versions, more}, nil
}

// publishedUntilNow asks what a key that has ended had published. If this machine has no key left that may ask,
// it makes do with the answer from just before the end, and says so. The end stands, whatever becomes of
// the question; but a script shall hear of a failure.
func (a *app) publishedUntilNow(ctx context.Context, client *registryclient.Client, e *enroll.Enrolment, id keys.ID, since time.Time, before *publishedFacts) (*publishedFacts, error) {
	list, err := published(ctx, client, id, since)
	if err == nil || before == nil {
		return list, err
	}
	if after, lookupErr := a.signs(e); lookupErr != nil || after != "" {
		return before, err
	}
	a.say("regkey: what %v has published is listed as of just before its end: no key of this machine may ask any more", id)
	return before, nil
}

func (a *app) printPublished(f *publishedFacts) error {
	since := ""
	if f.Since != "" {
		since = " since " + f.Since
	}
	if len(f.Versions) == 0 {
		return a.printLine("published nothing%s", since)
	}
	err := a.printLine("published%s:", since)
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, v := range f.Versions {
		state := ""
		switch {
		case v.Deleted:
			state = "deleted"
		case v.Yanked:
			state = "yanked"
		}
		row(w, "  ", v.Name, v.Version, moment(v.At), state)
	}
	err = errors.Join(err, w.Flush())
	if f.More {
		err = errors.Join(err, a.printLine("   and more"))
	}
	return err
}

// reportPublished says, once a key has ended, what it published before. That the registry can't be
// asked does not undo the end.
func (a *app) reportPublished(f *publishedFacts) error {
	err := a.printPublished(f)
	if len(f.Versions) > 0 {
		a.advise("regkey: look through these; \"cargo yank\" takes back what is not yours")
	}
	return err
}
