// Package traffic turns what users ask for (a percentile for each version) into
// the share that each version gets now.
//
// Shares are hundredths of a percent. They add up to Whole whenever at least one
// version is ready and are all zero otherwise; a version that is not ready gets
// none. The functions are pure and safe for concurrent use.
package traffic

import (
	"cmp"
	"slices"
)

// Whole is all of the traffic, in hundredths of a percent.
const Whole = 10_000

// Claim is what one version asks for, and whether it can answer.
type Claim struct {
	Version string
	// Percentile is the user's share in hundredths of a percent, 0 to Whole.
	Percentile int
	// Default marks the one version that gets what no other takes.
	Default bool
	// StandIn marks the version that was the default before, while its successor
	// has not answered yet.
	StandIn bool
	// Control marks the version that is next in line for a default that is not ready.
	Control bool
	// Ready says that some revision of the version answers.
	Ready bool
}

// Share is what one version gets.
type Share struct {
	Version string
	Share   int
}

// Effective gives out the traffic. The result has the order of the claims.
//
// A ready version that is not the default gets its percentile; the default gets
// all the rest: its own percentile, what nobody claims, and the percentiles of
// versions that are not ready. While the default itself is not ready, the
// others keep their percentiles and the rest goes to the stand-in, so that a new
// default takes nothing from the former one before it answers; without a ready
// stand-in to the control version; without that to the ready versions in
// proportion to their percentiles (in equal parts when all of them are zero).
func Effective(claims []Claim) []Share {
	shares := make([]Share, len(claims))
	rest, byDefault, standIn, control := Whole, -1, -1, -1
	var ready []int
	for i, c := range claims {
		shares[i].Version = c.Version
		if !c.Ready {
			continue
		}
		ready = append(ready, i)
		if c.Control {
			control = i
		}
		if c.StandIn {
			standIn = i
		}
		if c.Default {
			byDefault = i
			continue
		}
		shares[i].Share = min(max(c.Percentile, 0), rest)
		rest -= shares[i].Share
	}
	switch {
	case len(ready) == 0 || rest == 0:
	case byDefault >= 0:
		shares[byDefault].Share += rest
	case standIn >= 0:
		shares[standIn].Share += rest
	case control >= 0:
		shares[control].Share += rest
	default:
		spread(shares, ready, rest)
	}
	return shares
}

// spread adds rest to the shares at the ready indexes in proportion to what they
// have, by largest remainder, so that not a hundredth is lost.
func spread(shares []Share, ready []int, rest int) {
	weight := func(i int) int { return shares[i].Share }
	total := 0
	for _, i := range ready {
		total += shares[i].Share
	}
	if total == 0 {
		weight, total = func(int) int { return 1 }, len(ready)
	}
	type part struct{ index, quotient, remainder int }
	parts, left := make([]part, len(ready)), rest
	for k, i := range ready {
		product := weight(i) * rest
		parts[k] = part{index: i, quotient: product / total, remainder: product % total}
		left -= parts[k].quotient
	}
	slices.SortStableFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(b.remainder, a.remainder), cmp.Compare(shares[a.index].Version, shares[b.index].Version))
	})
	for k, p := range parts {
		shares[p.index].Share += p.quotient
		if k < left {
			shares[p.index].Share++
		}
	}
}
