// Package page cuts sorted lists into pages with opaque tokens, as AIP-158
// describes them. A token is bound to the list that it came from. It is pure.
package page

import (
	"encoding/base64"
	"sort"
	"strings"

	"github.com/fairlead/fairlead/platform/apierr"
)

// Sizes of pages.
const (
	DefaultSize = 50
	MaxSize     = 1000
)

// Page says which part of a list is wanted.
type Page struct {
	Size  int
	After string // the key of the last item that the caller has
	list  string
}

// Parse reads page_size and page_token of a request. list names what is being
// listed (the parent and any filter); a token of another list is refused.
func Parse(size int32, token, list string) (Page, error) {
	p := Page{Size: int(size), list: list}
	switch {
	case p.Size <= 0:
		p.Size = DefaultSize
	case p.Size > MaxSize:
		p.Size = MaxSize
	}
	if token == "" {
		return p, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	from, after, ok := strings.Cut(string(raw), "\x00")
	if err != nil || !ok || from != list {
		return Page{}, apierr.Invalid(apierr.Violation{
			Field: "page_token", Description: "must be the next_page_token of an earlier answer to the same request",
		})
	}
	p.After = after
	return p, nil
}

// Cut gives the wanted part of items, which are sorted by key, and the token
// of the next part, empty on the last.
func Cut[T any](items []T, p Page, key func(T) string) ([]T, string) {
	from := 0
	if p.After != "" {
		from = sort.Search(len(items), func(i int) bool { return key(items[i]) > p.After })
	}
	to := min(from+p.Size, len(items))
	part := items[from:to]
	if to == len(items) {
		return part, ""
	}
	return part, base64.RawURLEncoding.EncodeToString([]byte(p.list + "\x00" + key(items[to-1])))
}
