package swagger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ReadFiles reads the user's own documents from the first of the folders that has any: swagger.json or swagger2.json, swagger3.json,
// swagger3.1.json. A document that is no JSON is an error.
func ReadFiles(folders ...string) (Files, error) {
	var problems []error
	for _, folder := range folders {
		if folder == "" {
			continue
		}
		files := Files{}
		for _, f := range []struct{ version, name string }{
			{version2, "swagger2.json"}, {version2, "swagger.json"}, {version3, "swagger3.json"}, {version31, "swagger3.1.json"},
		} {
			text, err := os.ReadFile(filepath.Join(folder, f.name))
			text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				problems = append(problems, fmt.Errorf("%s: %w", f.name, err))
			case !json.Valid(text):
				problems = append(problems, fmt.Errorf("%s beside the entry script is no JSON document: correct it, or remove it to have one made", f.name))
			default:
				files[f.version] = text
			}
		}
		if len(files) > 0 || len(problems) > 0 {
			return files, errors.Join(problems...)
		}
	}
	return nil, nil
}
