package apply

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/manifest"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/apierr"
)

// maxBytes is the most that is read of a file.
const maxBytes = 4 << 20

// read reads all files, and gathers what is wrong with them.
func read(s *session.Session, cmd *cobra.Command, names []string) ([]manifest.Endpoint, []manifest.Problem, error) {
	if len(names) == 0 {
		return nil, nil, session.Usagef(cmd, "missing -f: the file that says what is to be")
	}
	var all []manifest.Endpoint
	var problems []manifest.Problem
	for _, name := range names {
		files, err := expand(name)
		if err != nil {
			return nil, nil, err
		}
		for _, file := range files {
			content, err := readFile(s, file)
			if err != nil {
				return nil, nil, err
			}
			found, wrong := manifest.Read(file, content)
			all, problems = append(all, found...), append(problems, wrong...)
		}
	}
	problems = append(problems, manifest.Twice(all)...)
	if len(all) == 0 && len(problems) == 0 {
		return nil, nil, failure.New(failure.Usage, "the files describe nothing")
	}
	return all, problems, nil
}

// expand gives the files of a folder in order, or the file itself.
func expand(name string) ([]string, error) {
	if name == "-" {
		return []string{name}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, failure.New(failure.Usage, "-f: %v", err)
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	var files []string
	for _, pattern := range []string{"*.yaml", "*.yml"} {
		found, err := filepath.Glob(filepath.Join(name, pattern))
		if err != nil {
			return nil, failure.New(failure.Usage, "-f: %v", err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return nil, failure.New(failure.Usage, "-f: %s holds no *.yaml or *.yml", name)
	}
	slices.Sort(files)
	return files, nil
}

func readFile(s *session.Session, name string) ([]byte, error) {
	from := s.Streams.In
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, failure.New(failure.Usage, "-f: %v", err)
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	content, err := io.ReadAll(io.LimitReader(from, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(content) > maxBytes {
		return nil, errors.New(name + " is larger than 4 MiB")
	}
	return content, nil
}

// refused is the failure that tells all problems.
func refused(problems []manifest.Problem) error {
	f := failure.New(failure.Error, "the files are not valid; nothing was changed")
	if n := len(problems); n > 1 {
		f = failure.New(failure.Error, "the files are not valid in %d points; nothing was changed", n)
	}
	for _, p := range problems {
		at := p.Place.String()
		if p.Field != "" {
			at += ": " + p.Field
		}
		f.Violations = append(f.Violations, apierr.Violation{Field: at, Description: p.Description})
	}
	return f
}
