// Package requirement reads what Python projects say about the packages that
// they need, and tells whether a version satisfies it: versions (PEP 440),
// requirements with extras and markers (PEP 508), requirements files, and
// conda's match specifications.
//
// It reads no files and asks no index. All functions are pure; values are
// immutable and safe for concurrent use. What cannot be read is an error that
// says what was expected.
package requirement

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Version is a version of a package as PEP 440 orders it.
type Version struct {
	text    string
	epoch   uint64
	release []uint64
	pre     preRelease
	post    mark
	dev     mark
	local   string
}

// preRelease is the phase before a release: a, b or rc.
type preRelease struct {
	phase  string // empty when it is none
	number uint64
}

// mark is a post or dev release's number.
type mark struct {
	set    bool
	number uint64
}

var versionPattern = regexp.MustCompile(`(?i)^\s*v?(?:(\d{1,9})!)?(\d{1,18}(?:\.\d{1,18})*)` +
	`(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d{0,18}))?` +
	`(?:-(\d{1,18})|[-_.]?(post|rev|r)[-_.]?(\d{0,18}))?` +
	`(?:[-_.]?(dev)[-_.]?(\d{0,18}))?` +
	`(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*$`)

// Groups of versionPattern.
const (
	groupEpoch = iota + 1
	groupRelease
	groupPhase
	groupPhaseNumber
	groupPostBare
	groupPost
	groupPostNumber
	groupDev
	groupDevNumber
	groupLocal
)

const maxVersion = 256

// ParseVersion reads a version.
func ParseVersion(text string) (Version, error) {
	if len(text) > maxVersion {
		return Version{}, fmt.Errorf("a version has at most %d characters, not %d", maxVersion, len(text))
	}
	m := versionPattern.FindStringSubmatch(text)
	if m == nil {
		return Version{}, fmt.Errorf("%q is not a version, for example 1.2.3", text)
	}
	v := Version{text: strings.ToLower(strings.TrimSpace(text)), epoch: number(m[groupEpoch])}
	for part := range strings.SplitSeq(m[groupRelease], ".") {
		v.release = append(v.release, number(part))
	}
	if phase := strings.ToLower(m[groupPhase]); phase != "" {
		v.pre = preRelease{phase: map[string]string{"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}[phase], number: number(m[groupPhaseNumber])}
		if v.pre.phase == "" {
			v.pre.phase = phase
		}
	}
	switch {
	case m[groupPostBare] != "":
		v.post = mark{set: true, number: number(m[groupPostBare])}
	case m[groupPost] != "":
		v.post = mark{set: true, number: number(m[groupPostNumber])}
	}
	if m[groupDev] != "" {
		v.dev = mark{set: true, number: number(m[groupDevNumber])}
	}
	v.local = strings.NewReplacer("-", ".", "_", ".").Replace(strings.ToLower(m[groupLocal]))
	return v, nil
}

// number reads digits that the pattern has let through; none is 0.
func number(digits string) uint64 {
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// String gives the version as it was written.
func (v Version) String() string { return v.text }

// Compare orders versions: negative when v is before w, 0 when they are equal.
func (v Version) Compare(w Version) int {
	if c := v.comparePublic(w); c != 0 {
		return c
	}
	return compareLocal(v.local, w.local)
}

func (v Version) comparePublic(w Version) int {
	return cmp.Or(
		cmp.Compare(v.epoch, w.epoch),
		compareRelease(v.release, w.release),
		cmp.Compare(v.phaseRank(), w.phaseRank()),
		cmp.Compare(v.pre.number, w.pre.number),
		cmp.Compare(v.post.rank(-1), w.post.rank(-1)),
		cmp.Compare(v.post.number, w.post.number),
		cmp.Compare(v.dev.rank(1), w.dev.rank(1)),
		cmp.Compare(v.dev.number, w.dev.number),
	)
}

// phaseRank orders a dev release of a final one before its pre-releases.
func (v Version) phaseRank() int {
	switch {
	case v.pre.phase == "" && !v.post.set && v.dev.set:
		return 0
	case v.pre.phase == "a":
		return 1
	case v.pre.phase == "b":
		return 2
	case v.pre.phase == "rc":
		return 3
	}
	return 4
}

// rank gives 0 where the mark is set, else what its absence counts.
func (m mark) rank(absent int) int {
	if m.set {
		return 0
	}
	return absent
}

func compareRelease(a, b []uint64) int {
	for i := range max(len(a), len(b)) {
		if c := cmp.Compare(at(a, i), at(b, i)); c != 0 {
			return c
		}
	}
	return 0
}

func at(release []uint64, i int) uint64 {
	if i < len(release) {
		return release[i]
	}
	return 0
}

// compareLocal orders local versions: none first, numbers after words.
func compareLocal(a, b string) int {
	if a == "" || b == "" {
		return cmp.Compare(len(a), len(b))
	}
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		n, xErr := strconv.ParseUint(x, 10, 64)
		m, yErr := strconv.ParseUint(y, 10, 64)
		switch {
		case xErr == nil && yErr == nil:
			return cmp.Compare(n, m)
		case xErr == nil:
			return 1
		case yErr == nil:
			return -1
		}
		return cmp.Compare(x, y)
	})
}

// isPre says whether v comes before its release.
func (v Version) isPre() bool { return v.pre.phase != "" || v.dev.set }

// sameRelease says whether both are of one release, whatever their phases.
func (v Version) sameRelease(w Version) bool {
	return v.epoch == w.epoch && compareRelease(v.release, w.release) == 0
}

// hasPrefix says whether v's release begins with w's.
func (v Version) hasPrefix(w Version) bool {
	if v.epoch != w.epoch {
		return false
	}
	for i, n := range w.release {
		if at(v.release, i) != n {
			return false
		}
	}
	return true
}
