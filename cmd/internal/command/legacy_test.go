package command

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOldFlags(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"several letters behind one dash": {"model deploy -ic f.json -dc=g.json -ct local", "model deploy --ic f.json --dc=g.json --ct local"},
		"two dashes stay":                 {"model deploy --ic f.json --vn v", "model deploy --ic f.json --vn v"},
		"booleans with a word":            {"x --ae false --is-default True --cvt -n a", "x --ae=false --is-default=true --cvt -n a"},
		"long booleans":                   {"x --auth-enabled true", "x --auth-enabled=true"},
		"a boolean's other word stays":    {"x --is-default yes", "x --is-default yes"},
		"shorthands stay":                 {"x -n name -o json -nfoo", "x -n name -o json -nfoo"},
		"behind -- nothing changes":       {"x -- -ic f", "x -- -ic f"},
		"a word without a dash stays":     {"x ic ae true", "x ic ae true"},
		"a single dash stays":             {"x -d -", "x -d -"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(oldFlags(strings.Fields(test.in)), " ")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzOldFlags(f *testing.F) {
	for _, seed := range []string{"-ic f", "--ae false", "-- -ic", "-", "--", "-=", "-ae=x true"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		once := oldFlags(strings.Split(line, " "))
		if twice := oldFlags(once); !slices.Equal(once, twice) {
			t.Errorf("%q becomes %q, then %q", line, once, twice)
		}
	})
}
