package archtest

import (
	"path"
	"strings"
)

// matches says whether a package fits a pattern: "*" stands for one part of the
// path, and "/..." at the end for the package and everything below it.
func matches(pattern, pkg string) bool {
	below, deep := strings.CutSuffix(pattern, "/...")
	want, have := strings.Split(below, "/"), strings.Split(pkg, "/")
	if len(have) < len(want) || !deep && len(have) != len(want) {
		return false
	}
	for i, part := range want {
		if ok, err := path.Match(part, have[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

func matchesAny(patterns []string, pkg string) bool {
	for _, p := range patterns {
		if matches(p, pkg) {
			return true
		}
	}
	return false
}
