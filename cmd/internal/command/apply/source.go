package apply

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/fairlead/fairlead/cmd/internal/manifest"
	"github.com/fairlead/fairlead/cmd/internal/upload"
)

// gather finds and hashes the files of a version, and gives the script's path
// among them. Paths start from the folder of the file that describes it.
func gather(ctx context.Context, v manifest.Version) (upload.Source, string, error) {
	start := "."
	if v.Place.File != "-" {
		start = filepath.Dir(v.Place.File)
	}
	script := v.Version.GetEntryScript()
	if script == "" && v.Source == "" {
		return upload.Source{}, "", nil
	}
	if script != "" && (filepath.IsAbs(script) || !filepath.IsLocal(filepath.FromSlash(script))) {
		return upload.Source{}, "", fmt.Errorf("%q must be a path inside the source folder, without \"..\"", script)
	}
	if script != "" { // else of a runtime that needs none
		script = filepath.ToSlash(filepath.Clean(filepath.FromSlash(script)))
	}
	found, err := source(start, v.Source, script)
	if err != nil {
		return upload.Source{}, "", err
	}
	found.Files = slices.DeleteFunc(found.Files, func(f upload.File) bool { return f.Path != script && same(f.Local, v.Place.File) })
	return found, script, upload.Hash(ctx, found.Files)
}

func source(start, folder, script string) (upload.Source, error) {
	if folder == "" {
		return upload.Source{Files: []upload.File{{Path: script, Local: filepath.Join(start, filepath.FromSlash(script))}}}, nil
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(start, filepath.FromSlash(folder))
	}
	found, err := upload.ScanSource(folder, script)
	if err != nil {
		return upload.Source{}, fmt.Errorf("%s %w", folder, err)
	}
	return found, nil
}

// same tells whether two paths are of one file. The file that describes a version
// is none of its files: else a change of its traffic would replace its replicas.
func same(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}
