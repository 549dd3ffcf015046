// What a key has published.

package registryclient

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// maxPublished is how many versions one call collects at most.
const maxPublished = 10_000

// A PublishedVersion is what a registry says of a version that a key has published. Control characters are
// taken out of its texts.
type PublishedVersion struct {
	Name     string    `json:"name"`
	Version  string    `json:"vers"`
	Checksum string    `json:"cksum"` // SHA-256 of the crate file, in hex; may be empty
	At       time.Time `json:"at"`
	Yanked   bool      `json:"yanked"`
	Deleted  bool      `json:"deleted"` // by the registry's operator
}

// Published lists what a key has published, oldest first, from the time since on, zero being the beginning: at most
// 10,000 versions, and more says that others follow. An unknown key is an [*Error] with code key-unknown.
func (c *Client) Published(ctx context.Context, id keys.ID, since time.Time) (all []PublishedVersion, more bool, err error) {
	d, err := c.Discover(ctx)
	if err != nil {
		return nil, false, err
	}
	query := url.Values{}
	if !since.IsZero() {
		query.Set("since", since.UTC().Format(time.RFC3339))
	}
	for more = true; more && len(all) < maxPublished; {
		query.Set("skip", strconv.Itoa(len(all)))
		var answer struct {
			Published []PublishedVersion `json:"published"`
			More      bool               `json:"more"`
		}
		if err := c.get(ctx, d.API+"/keys/"+id.String()+"/published?"+query.Encode(), &answer); err != nil {
			return nil, false, err
		}
		if answer.More && len(answer.Published) == 0 {
			return nil, false, fmt.Errorf("asking what key %v has published: the registry says that more follows, and shows none", id)
		}
		for _, v := range answer.Published {
			v.Name, v.Version, v.Checksum = printable(v.Name), printable(v.Version), printable(v.Checksum)
			all = append(all, v)
		}
		more = answer.More
	}
	if len(all) > maxPublished {
		return all[:maxPublished], true, nil
	}
	return all, more, nil
}
