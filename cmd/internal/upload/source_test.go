package upload_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/cmd/internal/upload"
)

func TestScanSource(t *testing.T) {
	tests := []struct {
		name      string
		files     map[string]string
		script    string
		want      []string
		ignoredBy string
		err       string
	}{
		{"nothing is named", map[string]string{"score.py": "", "lib/a.py": "", "__pycache__/a.pyc": ""}, "score.py", []string{"lib/a.py", "score.py"}, "", ""},
		{"an .amlignore", map[string]string{
			".amlignore": "# secrets\r\n.env\r\n*.key\n/backup/\n!keep.key\n", "score.py": "", ".env": "", "a.key": "", "keep.key": "",
			"backup/x": "", "lib/backup/x": "", "lib/b.key": "", "lib/.env": "",
		}, "score.py", []string{"keep.key", "lib/backup/x", "score.py"}, ".amlignore", ""},
		{"a .gitignore does not count", map[string]string{".amlignore": "data\n", ".gitignore": "*.pkl\n", "score.py": "", "m.pkl": "", "data/x": "", "lib/data/y": ""},
			"score.py", []string{".gitignore", "m.pkl", "score.py"}, ".amlignore", ""},
		{"it names nothing that is there", map[string]string{".amlignore": "*.log\n", "score.py": ""}, "score.py", []string{"score.py"}, "", ""},
		{"two stars", map[string]string{".amlignore": "**/cache/**\n", "src/score.py": "", "a/cache/x": "", "a/b": ""}, "src/score.py", []string{"a/b", "src/score.py"}, ".amlignore", ""},
		{"the script is named", map[string]string{".amlignore": "*.py\n", "score.py": ""}, "score.py", nil, "", "holds a .amlignore that leaves out the script score.py"},
		{"the script's folder is named", map[string]string{".amlignore": "src/\n", "src/score.py": ""}, "src/score.py", nil, "", "holds a .amlignore that leaves out the script src/score.py"},
		{"no script", map[string]string{"a.py": ""}, "score.py", nil, "", "does not hold the script score.py"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := folderOf(t, tt.files)
			got, err := upload.ScanSource(dir, tt.script)
			if tt.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var paths []string
			for _, f := range got.Files {
				paths = append(paths, f.Path)
			}
			if diff := cmp.Diff(tt.want, paths); diff != "" || got.IgnoredBy != tt.ignoredBy {
				t.Errorf("by %q, files (-want +got):\n%s", got.IgnoredBy, diff)
			}
		})
	}
}

func TestNotesOfASource(t *testing.T) {
	dir := folderOf(t, map[string]string{".amlignore": "*.log\n", "x.log": "", "score.py": "", "conf/.env": "", "tls.KEY": "", "admin.token": "", "keys.py": ""})
	got, err := upload.ScanSource(dir, "score.py")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"source: 5 files; what .amlignore names is left out",
		"warning: files that look like secrets are part of the source: admin.token, conf/.env, tls.KEY; name them in .amlignore to leave them out",
	}
	if diff := cmp.Diff(want, got.Notes()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func folderOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
