package deployment

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/cmd/internal/upload"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// source says where the script and its files are.
type source struct {
	script         string // as it was written
	folder         string // as it was written; empty when only the script is taken
	folderFromFile bool   // the folder was written in the inference configuration
	config         string // the inference configuration file; may be empty
	unreadable     bool   // the inference configuration could not be read
}

// collectSource finds and hashes the script and the files that it needs.
func (d *Draft) collectSource(ctx context.Context, src source) error {
	if src.script == "" {
		return d.withoutScript(ctx, src)
	}
	if !strings.HasSuffix(src.script, ".py") {
		d.addProblem("entryScript", scriptPaths(), "%q must be a Python file, ending in .py", src.script)
		return nil
	}
	folder, ok := d.findScript(src)
	if !ok {
		return nil
	}
	found, script, err := gather(src, folder)
	if err != nil {
		d.addProblem("sourceDirectory", scriptPaths(), "%s %v", folder, err)
		return nil
	}
	return d.takeFiles(ctx, found, script)
}

// takeFiles hashes files and makes them the version's, with the script among them.
func (d *Draft) takeFiles(ctx context.Context, found upload.Source, script string) error {
	files := found.Files
	if err := upload.Hash(ctx, files); err != nil {
		if ctx.Err() != nil {
			return err
		}
		d.addProblem("sourceDirectory", scriptPaths(), "%v", err)
		return nil
	}
	d.Files, d.Notes = files, found.Notes()
	d.Version.EntryScript = script
	d.Version.SourceFiles = upload.Artefacts(files)
	return nil
}

func scriptPaths() []string { return []string{"version.entry_script", "version.source_files"} }

// withoutScript takes the files of a version for which no script was named, and
// reports that where it is known to need one and that does not follow from
// something that is reported already. Else the server says whether it does, by
// the framework of its model.
func (d *Draft) withoutScript(ctx context.Context, src source) error {
	reported := src.unreadable || slices.ContainsFunc(d.problems, func(p problem) bool {
		return slices.Contains(p.covers, "version.entry_script")
	})
	kind := d.Version.GetRuntime().GetKind()
	runsNone := kind != deployv1.Runtime_KIND_UNSPECIFIED && kind != deployv1.Runtime_KIND_SCRIPT
	switch {
	case reported:
	case src.config != "":
		d.addProblem("entryScript", scriptPaths(), "missing in %s: the script with init() and run()", src.config)
	case d.needsScript || src.folder != "" && !runsNone:
		d.addProblem("--ic", scriptPaths(), askForScript)
	case src.folder != "":
		found, err := upload.ScanSource(src.folder, "")
		if err != nil {
			d.addProblem("sourceDirectory", scriptPaths(), "%s %v", src.folder, err)
			return nil
		}
		return d.takeFiles(ctx, found, "")
	case d.runtimeChanged && runsNone:
		d.Version.EntryScript, d.Version.SourceFiles = "", nil // of the version before the change
	}
	return nil
}

const askForScript = "say which script scores, by an inference configuration or --es SCRIPT"

// findScript gives the folder that the script's path starts from. What the
// inference configuration says is looked for beside that file first, then from
// the current folder, as users of the old product know it.
func (d *Draft) findScript(src source) (string, bool) {
	if filepath.IsAbs(src.script) {
		return d.findAbsolute(src)
	}
	var looked []string
	for _, start := range starts(src) {
		folder := start
		if src.folder != "" {
			folder = resolve(start, src.folder)
		}
		script := absolute(filepath.Join(folder, src.script))
		if isFile(script) {
			return folder, true
		}
		if !slices.Contains(looked, script) {
			looked = append(looked, script)
		}
	}
	d.addProblem("entryScript", scriptPaths(), "there is no script %q; looked for %s", src.script, strings.Join(looked, " and "))
	return "", false
}

func (d *Draft) findAbsolute(src source) (string, bool) {
	if !isFile(src.script) {
		d.addProblem("entryScript", scriptPaths(), "there is no script %s", src.script)
		return "", false
	}
	if src.folder == "" {
		return filepath.Dir(src.script), true
	}
	return resolve(starts(src)[0], src.folder), true
}

func starts(src source) []string {
	if src.config == "" || src.folder != "" && !src.folderFromFile {
		return []string{"."}
	}
	return []string{filepath.Dir(src.config), "."}
}

// gather gives the files and the script's path among them.
func gather(src source, folder string) (upload.Source, string, error) {
	script, err := scriptIn(src, folder)
	if err != nil {
		return upload.Source{}, "", err
	}
	if src.folder == "" {
		local := src.script
		if !filepath.IsAbs(local) {
			local = filepath.Join(folder, local)
		}
		return upload.Source{Files: []upload.File{{Path: script, Local: local}}}, script, nil
	}
	found, err := upload.ScanSource(folder, script)
	return found, script, err
}

// scriptIn gives the script's path in the bundle, with slashes.
func scriptIn(src source, folder string) (string, error) {
	if src.folder == "" {
		if !filepath.IsLocal(src.script) {
			return filepath.Base(src.script), nil
		}
		return filepath.ToSlash(filepath.Clean(src.script)), nil
	}
	script := src.script
	if filepath.IsAbs(script) {
		relative, err := filepath.Rel(absolute(folder), script)
		if err != nil {
			return "", err
		}
		script = relative
	}
	if !filepath.IsLocal(script) {
		return "", errors.New("does not hold the script " + src.script)
	}
	return filepath.ToSlash(filepath.Clean(script)), nil
}

func resolve(start, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(start, path)
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
