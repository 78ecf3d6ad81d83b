package requirement

import (
	"errors"
	"strings"
)

// Line is a line of a requirements file that says something.
type Line struct {
	// Number counts lines from 1.
	Number int
	// Text is the requirement or option, without comments and line ends.
	Text string
	// Problem says why the line cannot be used; nil when it can.
	Problem error
}

// ParseFile reads the text of a requirements file: all requirements and options
// in order, and what is wrong with lines.
func ParseFile(text string) []Line {
	var lines []Line
	pending, begun := "", 0
	for i, raw := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		raw = strings.TrimRight(raw, "\r")
		if pending == "" {
			begun = i + 1
		}
		joined, more := strings.CutSuffix(raw, `\`)
		if more && !strings.HasPrefix(strings.TrimSpace(raw), "#") {
			pending += joined
			continue
		}
		lines = appendLine(lines, begun, pending+raw)
		pending = ""
	}
	return appendLine(lines, begun, pending)
}

func appendLine(lines []Line, number int, text string) []Line {
	text = strings.TrimSpace(withoutComment(text))
	if text == "" {
		return lines
	}
	if !IsOption(text) {
		text = withoutHashes(text)
	}
	return append(lines, Line{Number: number, Text: text, Problem: Check(text)})
}

// IsOption says whether an entry is an option of pip and not a requirement.
func IsOption(text string) bool { return strings.HasPrefix(text, "-") }

// Check says why an entry of a list of requirements, which may be an option of
// pip, cannot be used; nil when it can.
func Check(text string) error {
	switch {
	case !IsOption(text):
		_, err := Parse(text)
		return err
	case hasOption(text, "-r", "--requirement", "-c", "--constraint"):
		return errors.New("another file cannot be read from here: put its lines in")
	case hasOption(text, "-e", "--editable"):
		return errors.New("an editable package cannot be installed from here: put it beside the script")
	}
	return nil
}

func hasOption(line string, names ...string) bool {
	for _, name := range names {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest == "" || rest[0] == ' ' || rest[0] == '=' || !strings.HasPrefix(name, "--")) {
			return true
		}
	}
	return false
}

// withoutComment cuts a comment, which begins the line or follows a space: a URL may hold "#".
func withoutComment(line string) string {
	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return ""
	}
	for _, lead := range []string{" #", "\t#"} {
		if at := strings.Index(line, lead); at >= 0 {
			line = line[:at]
		}
	}
	return line
}

// withoutHashes cuts the options that follow a requirement.
func withoutHashes(line string) string {
	if at := strings.Index(line, " --"); at >= 0 {
		return strings.TrimSpace(line[:at])
	}
	return line
}
