package upload

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// maxIgnoreBytes is the most that a line of an ignore file may have.
const maxIgnoreBytes = 1 << 20

// Source is what a source folder holds.
type Source struct {
	Files []File
	// IgnoredBy is the ignore file that has left files out; empty when none has.
	IgnoredBy string
}

// ScanSource finds the files of a source folder, but for those that the folder's
// .amlignore names, and that file. A .gitignore does not count: what a script
// needs, its models for example, is often not under version control. An error is the end of a sentence that begins with
// the folder, for example when the script is not among the files; an empty script
// is none.
func ScanSource(folder, script string) (Source, error) {
	if info, err := os.Stat(folder); err != nil {
		return Source{}, err
	} else if !info.IsDir() {
		return Source{}, errors.New("is not a folder")
	}
	rules, err := readIgnore(folder)
	if err != nil {
		return Source{}, err
	}
	found := Source{}
	found.Files, err = scanFolder(folder, func(name string, isDir bool) bool {
		switch {
		case name == ignoreFile:
			return true
		case rules.leavesOut(name, isDir):
			found.IgnoredBy = rules.name
			return true
		}
		return false
	})
	switch {
	case err != nil:
		return Source{}, err
	case script == "":
		return found, nil
	case slices.ContainsFunc(found.Files, func(f File) bool { return f.Path == script }):
		return found, nil
	case rules.leavesOutPath(script):
		return Source{}, fmt.Errorf("holds a %s that leaves out the script %s; take that line out, or write one that does not name it", rules.name, script)
	}
	return Source{}, fmt.Errorf("does not hold the script %s", script)
}

// ignoreFile is the name of the file that says what is not sent.
const ignoreFile = ".amlignore"

// ignore is an ignore file.
type ignore struct {
	name    string // empty when there is none
	matcher gitignore.Matcher
}

func readIgnore(folder string) (ignore, error) {
	file, err := os.Open(filepath.Join(folder, ignoreFile))
	if errors.Is(err, fs.ErrNotExist) {
		return ignore{}, nil
	}
	if err != nil {
		return ignore{}, err
	}
	defer file.Close()
	patterns, err := readPatterns(file)
	if err != nil {
		return ignore{}, fmt.Errorf("holds a %s that cannot be read: %w", ignoreFile, err)
	}
	return ignore{name: ignoreFile, matcher: gitignore.NewMatcher(patterns)}, nil
}

func readPatterns(file *os.File) ([]gitignore.Pattern, error) {
	var patterns []gitignore.Pattern
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxIgnoreBytes)
	for lines.Scan() {
		line := strings.TrimPrefix(lines.Text(), "\ufeff")
		if !strings.HasSuffix(line, `\ `) {
			line = strings.TrimRight(line, " \t")
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, gitignore.ParsePattern(line, nil))
		}
	}
	return patterns, lines.Err()
}

// leavesOut tells about a file or folder whose own folder is not left out.
func (i ignore) leavesOut(name string, isDir bool) bool {
	return i.matcher != nil && i.matcher.Match(strings.Split(name, "/"), isDir)
}

// leavesOutPath tells about a file, also when one of its folders is left out.
func (i ignore) leavesOutPath(name string) bool {
	for at, r := range name {
		if r == '/' && i.leavesOut(name[:at], true) {
			return true
		}
	}
	return i.leavesOut(name, false)
}

// Notes gives what a user should know before the files of a source folder are
// sent: that some are left out, and which look like secrets.
func (s Source) Notes() []string {
	var notes []string
	if s.IgnoredBy != "" {
		notes = append(notes, fmt.Sprintf("source: %s; what %s names is left out", number(s.Files), s.IgnoredBy))
	}
	if found := secrets(s.Files); len(found) > 0 {
		const shown = 5
		more := ""
		if len(found) > shown {
			found, more = found[:shown], fmt.Sprintf(" and %d more", len(found)-shown)
		}
		notes = append(notes, "warning: files that look like secrets are part of the source: "+strings.Join(found, ", ")+more+
			"; name them in .amlignore to leave them out")
	}
	return notes
}

// secrets gives the paths of files that look like secrets.
func secrets(files []File) []string {
	patterns := []string{".env", ".env.*", "*.env", "*.key", "*.pem", "*.p12", "*.pfx", "*.token", "id_rsa", "id_ecdsa", "id_ed25519", ".netrc", ".pypirc"}
	var found []string
	for _, f := range files {
		name := strings.ToLower(path.Base(f.Path))
		if slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, name); return ok }) {
			found = append(found, f.Path)
		}
	}
	return found
}
