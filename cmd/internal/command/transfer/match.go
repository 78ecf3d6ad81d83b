package transfer

import (
	"cmp"
	"slices"
)

// numbered is a version of a model or an environment. Those with the same content
// can stand for each other.
type numbered struct {
	number  int64
	content string
}

// place is where a version of an export goes to.
type place struct {
	number int64
	exists bool // it is there already
}

// mostSkipped is how many numbers in a row are skipped for a version of a model to
// keep its own. Environments skip none: the number of one is in no path, and one
// that is the same as the newest gets no number.
const mostSkipped = 100

// match decides under which numbers the versions of one model go in, by their
// numbers in the export: under their own where that is there with the same content,
// else under that of another one with the same content, else as new versions in
// their order, under their own numbers where at most skip numbers lie between those
// and next, the first that is free. No version stands for two.
func match(exported, present []numbered, next, skip int64) map[int64]place {
	out, taken := map[int64]place{}, map[int64]bool{}
	take := func(from, to int64) { out[from], taken[to] = place{number: to, exists: true}, true }
	exported, present = sorted(exported), sorted(present)
	for _, e := range exported {
		if slices.Contains(present, e) {
			take(e.number, e.number)
		}
	}
	for _, e := range exported {
		if out[e.number].exists {
			continue
		}
		for _, p := range present {
			if p.content == e.content && !taken[p.number] {
				take(e.number, p.number)
				break
			}
		}
	}
	for _, e := range exported {
		if _, ok := out[e.number]; ok {
			continue
		}
		if e.number > next && e.number-next <= skip {
			next = e.number
		}
		out[e.number] = place{number: next}
		next++
	}
	return out
}

func sorted(all []numbered) []numbered {
	return slices.SortedFunc(slices.Values(all), func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
}
