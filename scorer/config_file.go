package scorer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	configFileName   = "config.json"
	configFileLength = 1 << 20
)

// configFile has the settings of a configuration file: a JSON object with the names of the environment variables. A nil one has none.
type configFile struct {
	path   string
	values map[string]string
}

// findConfigFile reads the file that given or the environment names, else config.json in the app root or beside the entry script.
func findConfigFile(given string, env func(string) string, script string) (*configFile, []string, error) {
	root := env("AML_APP_ROOT")
	var notes []string
	if named := first(given, env("AZUREML_CONFIG_FILE")); named != "" {
		for _, path := range []string{named, filepath.Join(root, named), filepath.Join(filepath.Dir(script), named)} {
			if file, err := readConfigFile(path); file != nil || err != nil {
				return file, nil, err
			}
		}
		notes = append(notes, fmt.Sprintf("the configuration file %s is not there, or empty", named))
	}
	for _, folder := range []string{root, filepath.Dir(script)} {
		if folder == "" {
			continue
		}
		if file, err := readConfigFile(filepath.Join(folder, configFileName)); file != nil || err != nil {
			return file, notes, err
		}
	}
	return nil, notes, nil
}

// readConfigFile gives nil for a file that is not there, or empty.
func readConfigFile(path string) (*configFile, error) {
	if info, err := os.Stat(path); err != nil || info.IsDir() || info.Size() == 0 {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, configFileLength+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("configuration file: %w", err)
	case len(content) > configFileLength:
		return nil, fmt.Errorf("configuration file: %s is longer than %d bytes", path, configFileLength)
	}
	values, err := parseConfigFile(content)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %s %w", path, err)
	}
	return &configFile{path, values}, nil
}

// parseConfigFile gives the values as the environment would have them. What is null is not set.
func parseConfigFile(content []byte) (map[string]string, error) {
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(content, []byte("\ufeff"))))
	decoder.UseNumber()
	var raw map[string]any
	if err := decoder.Decode(&raw); err != nil || raw == nil {
		return nil, fmt.Errorf("must be a JSON object with settings: %w", errors.Join(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more than one JSON object")
	}
	values := make(map[string]string, len(raw))
	for name, value := range raw {
		switch v := value.(type) {
		case nil:
		case string:
			values[name] = v
		case json.Number:
			values[name] = wholeNumber(v)
		case bool:
			values[name] = fmt.Sprint(v)
		default:
			written, _ := json.Marshal(v) // it has just been read
			values[name] = string(written)
		}
	}
	return values, nil
}

// wholeNumber writes 500.0 as 500.
func wholeNumber(n json.Number) string {
	whole, fraction, _ := strings.Cut(n.String(), ".")
	if strings.Trim(fraction, "0") == "" {
		return whole
	}
	return n.String()
}

// take gives a setting by one of its names; "" when it is not there.
func (f *configFile) take(names ...string) string {
	if f == nil {
		return ""
	}
	for _, name := range names {
		if value, ok := f.values[name]; ok && name != "" {
			return value
		}
	}
	return ""
}

func (f *configFile) suffix() string {
	if f == nil {
		return ""
	}
	return " in " + filepath.Base(f.path)
}

// unknown says which settings are not among those that a scorer knows.
func (f *configFile) unknown() []string {
	if f == nil {
		return nil
	}
	known := map[string]bool{}
	for _, s := range settings() {
		known[s.name], known[s.field] = true, true
	}
	var names []string
	for name := range f.values {
		if !known[name] {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return []string{fmt.Sprintf("settings in %s that the scorer does not know: %s", f.path, strings.Join(names, ", "))}
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
