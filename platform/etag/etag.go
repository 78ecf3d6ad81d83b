// Package etag makes and checks the tags that guard a change against changes
// by others (AIP-154). It is pure.
package etag

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/fairlead/fairlead/platform/apierr"
)

// Of gives a tag that differs whenever one of the parts differs; usually the
// uid and the revision of a resource.
func Of(parts ...any) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%v\x00", p) // a hash takes everything
	}
	return `"` + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12]) + `"`
}

// Check compares the tag that a caller sent with the current one. An empty
// tag is no condition.
func Check(sent, current string) error {
	if sent == "" || sent == current {
		return nil
	}
	return apierr.New(apierr.Conflict, "ETAG_MISMATCH",
		"the resource has changed since it was read: read it again and repeat the change (etag %s, now %s)", sent, current)
}
