package settings_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/cmd/internal/settings"
)

func environment(home string, pairs map[string]string) settings.Environment {
	return settings.Environment{HomeDir: home, Getenv: func(k string) string { return pairs[k] }}
}

func TestServer(t *testing.T) {
	tests := map[string]struct {
		flag, variable string
		want           settings.Setting
		problem        string
	}{
		"default":           {want: settings.Setting{Value: "http://127.0.0.1:8081", Source: "default"}},
		"variable":          {variable: "http://a:1", want: settings.Setting{Value: "http://a:1", Source: "FAIRLEAD_SERVER"}},
		"the flag wins":     {flag: "https://b:2", variable: "http://a:1", want: settings.Setting{Value: "https://b:2", Source: "--server"}},
		"without a scheme":  {flag: "a:1", want: settings.Setting{Value: "http://a:1", Source: "--server"}},
		"the scheme's port": {flag: "https://a/", want: settings.Setting{Value: "https://a:443", Source: "--server"}},
		"an IPv6 address":   {flag: "http://[::1]:5", want: settings.Setting{Value: "http://[::1]:5", Source: "--server"}},
		"another scheme":    {flag: "ftp://a", problem: "must begin with http"},
		"a path":            {flag: "http://a/b", problem: "must not have a path"},
		"a password":        {flag: "http://u:p@a", problem: "must not hold a user"},
		"no host":           {flag: "http://:80", problem: "names no host"},
		"not a URL":         {flag: "http://a b", problem: "is not a URL"},
		"a bad port":        {flag: "http://a:b", problem: "is not a URL"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := settings.Resolve(settings.Flags{Server: test.flag},
				environment(t.TempDir(), map[string]string{settings.ServerVariable: test.variable}))
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Fatalf("got error %v, want %q", err, test.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Server); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestToken(t *testing.T) {
	home := t.TempDir()
	local := settings.DefaultDataDir(home)
	other := t.TempDir()
	for path, content := range map[string]string{
		filepath.Join(local, "admin.token"): "local\n", filepath.Join(other, "admin.token"): "other", filepath.Join(home, "file"): " given \n",
		filepath.Join(home, "two"): "one two",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		flags  settings.Flags
		env    map[string]string
		want   string
		source string
		fail   bool
	}{
		"the file that is named wins": {
			flags: settings.Flags{TokenFile: filepath.Join(home, "file")}, env: map[string]string{settings.TokenVariable: "variable"},
			want: "given", source: "--token-file",
		},
		"the variable":                  {env: map[string]string{settings.TokenVariable: "variable"}, want: "variable", source: "FAIRLEAD_TOKEN"},
		"the local administrator's":     {want: "local", source: "admin.token"},
		"of the data folder":            {env: map[string]string{settings.DataDirVariable: other}, want: "other", source: other},
		"not for another machine":       {flags: settings.Flags{Server: "http://example.org"}, source: "not sent to another machine"},
		"a named data folder's for any": {flags: settings.Flags{Server: "http://example.org"}, env: map[string]string{settings.DataDirVariable: other}, want: "other", source: other},
		"none":                          {env: map[string]string{settings.DataDirVariable: filepath.Join(home, "empty")}, source: "does not exist"},
		"a file that is not there":      {flags: settings.Flags{TokenFile: filepath.Join(home, "nothere")}, fail: true},
		"a file that holds no token":    {flags: settings.Flags{TokenFile: filepath.Join(home, "two")}, fail: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := settings.Resolve(test.flags, environment(home, test.env))
			if (err != nil) != test.fail {
				t.Fatalf("got error %v", err)
			}
			if got.Token.Reveal() != test.want || !strings.Contains(got.TokenSource, test.source) {
				t.Errorf("got %q from %q", got.Token.Reveal(), got.TokenSource)
			}
			if test.want != "" && strings.Contains(fmt.Sprintf("%v %s", got, got.Token), test.want+"}") {
				t.Error("the token shows when it is printed")
			}
		})
	}
}
