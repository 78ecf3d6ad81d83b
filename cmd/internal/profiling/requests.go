package profiling

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// maxRequests bounds how many different requests are held.
	maxRequests = 10000
	// maxBytes bounds them together.
	maxBytes = 1 << 30
)

// Request is a body to score.
type Request struct {
	Name string // for people
	Body []byte
}

// ReadRequests reads bodies: a file is one, a .jsonl file has one in each line, a
// folder one in each of its files.
func ReadRequests(path string) ([]Request, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file or folder %s", path)
	}
	if err != nil {
		return nil, err
	}
	var requests []Request
	switch {
	case info.IsDir():
		requests, err = readFolder(path)
	case info.Size() > maxBytes:
		err = tooLarge(path)
	default:
		requests, err = readFile(path)
	}
	if err != nil {
		return nil, err
	}
	if len(requests) == 0 {
		return nil, fmt.Errorf("%s holds no requests", path)
	}
	return requests, nil
}

func tooLarge(path string) error { return fmt.Errorf("%s has more than 1 GiB of requests", path) }

func readFile(path string) ([]Request, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(filepath.Ext(path), ".jsonl") {
		return []Request{{Name: path, Body: content}}, nil
	}
	var requests []Request
	number := 0
	for line := range bytes.Lines(content) {
		number++
		if line = bytes.TrimSpace(line); len(line) > 0 {
			requests = append(requests, Request{Name: fmt.Sprintf("%s, line %d", path, number), Body: line})
		}
	}
	if len(requests) > maxRequests {
		return nil, fmt.Errorf("%s has %d requests; at most %d are possible", path, len(requests), maxRequests)
	}
	return requests, nil
}

func readFolder(path string) ([]Request, error) {
	entries, err := os.ReadDir(path) // by name
	if err != nil {
		return nil, err
	}
	var requests []Request
	var bad []error
	size := 0
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info.Size() > maxBytes {
			return nil, tooLarge(path)
		}
		found, err := readFile(name)
		bad = append(bad, err)
		for _, r := range found {
			size += len(r.Body)
		}
		requests = append(requests, found...)
		if size > maxBytes {
			return nil, tooLarge(path)
		}
		if len(requests) > maxRequests {
			return nil, fmt.Errorf("%s has more than %d requests", path, maxRequests)
		}
	}
	return requests, errors.Join(bad...)
}
