package page_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/platform/page"
)

func TestPagesGiveTheWholeListOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,4}`), 0, 60, rapid.ID).Draw(t, "items")
		slices.Sort(items)
		size := rapid.Int32Range(0, 20).Draw(t, "size")
		var got []string
		token := ""
		for range len(items) + 2 {
			p, err := page.Parse(size, token, "parent")
			if err != nil {
				t.Fatal(err)
			}
			var part []string
			part, token = page.Cut(items, p, func(s string) string { return s })
			got = append(got, part...)
			if token == "" {
				break
			}
		}
		if !slices.Equal(got, items) {
			t.Fatalf("got %v, want %v", got, items)
		}
	})
}

func TestTokenOfAnotherListIsRefused(t *testing.T) {
	items := []string{"a", "b", "c"}
	p, _ := page.Parse(1, "", "workspaces/a")
	_, token := page.Cut(items, p, func(s string) string { return s })
	for _, tt := range []struct{ token, list string }{{token, "workspaces/b"}, {"garbage!", "workspaces/a"}, {"Z2Fy", "workspaces/a"}} {
		if _, err := page.Parse(1, tt.token, tt.list); err == nil {
			t.Errorf("token %q on %q was taken", tt.token, tt.list)
		}
	}
}

func TestSizeIsBounded(t *testing.T) {
	for in, want := range map[int32]int{0: 50, -3: 50, 7: 7, 1_000_000: 1000} {
		if p, err := page.Parse(in, "", "x"); err != nil || p.Size != want {
			t.Errorf("size %d: %+v, %v", in, p, err)
		}
	}
}
