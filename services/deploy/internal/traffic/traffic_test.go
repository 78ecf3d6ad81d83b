package traffic_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/services/deploy/internal/traffic"
)

func TestEffective(t *testing.T) {
	a := traffic.Claim{Version: "a", Percentile: 2000, Default: true, Ready: true}
	b := traffic.Claim{Version: "b", Percentile: 1000, Ready: true}
	with := func(c traffic.Claim, change func(*traffic.Claim)) traffic.Claim { change(&c); return c }
	notReady := func(c *traffic.Claim) { c.Ready = false }
	tests := []struct {
		name   string
		claims []traffic.Claim
		want   map[string]int
	}{
		{"nothing", nil, map[string]int{}},
		{"the only version has all, whatever it claims", []traffic.Claim{a}, map[string]int{"a": 10000}},
		{"the default has what is not claimed", []traffic.Claim{a, b}, map[string]int{"a": 9000, "b": 1000}},
		{"a new default has the rest", []traffic.Claim{
			with(a, func(c *traffic.Claim) { c.Default = false }),
			with(b, func(c *traffic.Claim) { c.Percentile, c.Default = 4000, true }),
		}, map[string]int{"a": 2000, "b": 8000}},
		{"a version that is not ready leaves its share with the default", []traffic.Claim{a, with(b, notReady)}, map[string]int{"a": 10000, "b": 0}},
		{"without its default the endpoint goes on", []traffic.Claim{with(a, notReady), b}, map[string]int{"a": 0, "b": 10000}},
		{"the control stands in for the default", []traffic.Claim{
			with(a, notReady), b, {Version: "c", Control: true, Ready: true},
		}, map[string]int{"a": 0, "b": 1000, "c": 9000}},
		{"the former default goes on until the new one answers", []traffic.Claim{
			with(a, notReady), b, {Version: "c", Control: true, Ready: true}, {Version: "d", StandIn: true, Ready: true},
		}, map[string]int{"a": 0, "b": 1000, "c": 0, "d": 9000}},
		{"else the others share in proportion", []traffic.Claim{
			with(a, notReady), b, {Version: "c", Percentile: 3000, Ready: true},
		}, map[string]int{"a": 0, "b": 2500, "c": 7500}},
		{"equal parts when nobody claims anything", []traffic.Claim{
			with(a, notReady), {Version: "b", Ready: true}, {Version: "c", Ready: true}, {Version: "d", Ready: true},
		}, map[string]int{"a": 0, "b": 3334, "c": 3333, "d": 3333}},
		{"nobody is ready", []traffic.Claim{with(a, notReady), with(b, notReady)}, map[string]int{"a": 0, "b": 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := map[string]int{}
			for _, s := range traffic.Effective(tt.claims) {
				got[s.Version] = s.Share
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("shares (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEffectiveInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "versions")
		byDefault := rapid.IntRange(0, n-1).Draw(t, "default")
		control := rapid.IntRange(-1, n-1).Draw(t, "control")
		left, anyReady := traffic.Whole, false
		claims := make([]traffic.Claim, n)
		for i := range claims {
			p := rapid.IntRange(0, left).Draw(t, "percentile")
			left -= p
			claims[i] = traffic.Claim{
				Version: string(rune('a' + i)), Percentile: p, Default: i == byDefault, Control: i == control,
				Ready: rapid.Bool().Draw(t, "ready"),
			}
			anyReady = anyReady || claims[i].Ready
		}
		sum := 0
		for i, s := range traffic.Effective(claims) {
			c := claims[i]
			sum += s.Share
			if s.Version != c.Version {
				t.Fatalf("share %d is of %q, want %q", i, s.Version, c.Version)
			}
			if !c.Ready && s.Share != 0 {
				t.Fatalf("%q is not ready and gets %d", c.Version, s.Share)
			}
			if c.Ready && s.Share < c.Percentile {
				t.Fatalf("%q claims %d and gets %d", c.Version, c.Percentile, s.Share)
			}
			if c.Ready && claims[byDefault].Ready && i != byDefault && s.Share != c.Percentile {
				t.Fatalf("%q claims %d and gets %d beside a ready default", c.Version, c.Percentile, s.Share)
			}
		}
		if want := map[bool]int{true: traffic.Whole, false: 0}[anyReady]; sum != want {
			t.Fatalf("shares add up to %d, want %d", sum, want)
		}
	})
}
