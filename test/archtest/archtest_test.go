package archtest

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/test/repository"
)

func loadRepository(t *testing.T) *Source {
	t.Helper()
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Files) == 0 {
		t.Fatal("no Go file was found")
	}
	return s
}

func TestRepository(t *testing.T) {
	s := loadRepository(t)
	for name, found := range map[string][]string{
		"layers":  CheckLayers(s, Layers()),
		"budgets": CheckBudgets(s, DefaultBudget()),
		"docs":    CheckDocs(s),
		"habits":  CheckHabits(s),
	} {
		t.Run(name, func(t *testing.T) {
			if len(found) > 0 {
				t.Error(describe(found))
			}
		})
	}
}

// A rule about packages that are gone protects nothing.
func TestRulesSpeakOfWhatExists(t *testing.T) {
	s := loadRepository(t)
	var patterns []string
	for _, l := range Layers() {
		patterns = append(append(patterns, l.From...), l.ExceptFrom...)
	}
	if dead := CheckCovered(s, patterns); len(dead) > 0 {
		t.Errorf("these patterns match no package: %s", strings.Join(dead, ", "))
	}
}

func TestEveryRuleHasAReason(t *testing.T) {
	for _, l := range Layers() {
		if l.Reason == "" {
			t.Errorf("rule %s has no reason", l.Name)
		}
	}
}

func TestLayersAreFound(t *testing.T) {
	tests := map[string]struct {
		path    string
		imports string
		want    string // the rule that is broken; empty for none
	}{
		"platform imports a service's contract": {"platform/x/a.go", "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1", "platform"},
		"platform imports resource protos":      {"platform/x/a.go", "github.com/fairlead/fairlead/proto/gen/fairlead/resource/v1", ""},
		"service imports service":               {"services/deploy/a.go", "github.com/fairlead/fairlead/services/auth", "services apart: deploy"},
		"a test of a service imports another":   {"services/deploy/a_test.go", "github.com/fairlead/fairlead/services/auth", "services apart: deploy"},
		"domain imports protos":                 {"services/deploy/internal/endpoint/a.go", "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1", "domain"},
		"grpcapi imports protos":                {"services/deploy/internal/grpcapi/a.go", "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1", ""},
		"domain opens files":                    {"services/deploy/internal/endpoint/a.go", "os", "domain"},
		"domain imports its edge":               {"services/deploy/internal/endpoint/a.go", "github.com/fairlead/fairlead/services/deploy/internal/grpcapi", "domain"},
		"JetStream outside the store":           {"services/deploy/internal/state/a.go", "github.com/nats-io/nats.go/jetstream", "NATS"},
		"JetStream in the store":                {"platform/store/jetstream/a.go", "github.com/nats-io/nats.go/jetstream", ""},
		"Kubernetes":                            {"services/compute/internal/driver/k/a.go", "k8s.io/client-go/rest", "Kubernetes"},
		"command imports a service":             {"cmd/internal/command/a.go", "github.com/fairlead/fairlead/services/auth", "assembly"},
		"the assembly imports services":         {"cmd/internal/assembly/a.go", "github.com/fairlead/fairlead/services/auth", ""},
		"scorer imports gRPC":                   {"scorer/internal/server/a.go", "google.golang.org/grpc", "protocols in the scorer"},
		"the scorer's protocol imports gRPC":    {"scorer/internal/oip/a.go", "google.golang.org/grpc", ""},
		"scorer imports the control plane":      {"scorer/internal/oip/a.go", "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1", "scorer"},
		"scorer imports x/sys":                  {"scorer/internal/server/a.go", "golang.org/x/sys/unix", ""},
		"a bucket outside platform":             {"services/deploy/internal/grpcapi/a.go", "gocloud.dev/blob", "gocloud"},
		"testify":                               {"platform/x/a_test.go", "github.com/stretchr/testify/require", "taste in tests"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := sourceOf(t, map[string]string{test.path: "package x\n\nimport _ \"" + test.imports + "\"\n"})
			broken := describe(CheckLayers(s, Layers()))
			if test.want == "" && broken != "" {
				t.Errorf("refused:\n%s", broken)
			}
			if !strings.Contains(broken, "\n\t"+test.want+": ") && test.want != "" {
				t.Errorf("the rule %q did not find it, found: %q", test.want, broken)
			}
		})
	}
}

func TestBudgetsAreFound(t *testing.T) {
	long := strings.Repeat("\t_ = 1\n", 100)
	tests := map[string]struct {
		source string
		want   []string // parts of what is found, in order
	}{
		"within the budget": {"// Package x is fine.\npackage x\n\nfunc f() {\n\t_ = 1\n}\n", nil},
		"long function":     {"// Package x is fine.\npackage x\n\nfunc f() {\n" + long + "}\n", []string{"func f has 102 lines"}},
		"long file":         {"// Package x is fine.\npackage x\n" + strings.Repeat("\n", 600), []string{"has 602 lines"}},
		"wide interface": {
			"// Package x is fine.\npackage x\n\ntype i interface {\n\tA()\n\tB()\n\tC()\n\tD()\n\tE()\n\tF()\n}\n",
			[]string{"has 6 methods"},
		},
		"composed interface": {"// Package x is fine.\npackage x\n\ntype i interface {\n\tA()\n\tB()\n\tinterface{ C(); D() }\n\tE()\n\tF()\n}\n", nil},
		"empty name":         {"// Package util is not fine.\npackage util\n", []string{"package util says nothing"}},
		"no comment":         {"package x\n", []string{"no comment says"}},
		"init":               {"// Package x is fine.\npackage x\n\nfunc init() {}\n", []string{"func init"}},
		"sleep":              {"// Package x is fine.\npackage x\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", []string{"time.Sleep"}},
		"exit":               {"// Package x is fine.\npackage x\n\nimport \"os\"\n\nfunc f() { os.Exit(1) }\n", []string{"os.Exit"}},
		"exit in main":       {"// Command x is fine.\npackage main\n\nimport \"os\"\n\nfunc main() { os.Exit(1) }\n", nil},
		"global logger":      {"// Package x is fine.\npackage x\n\nimport \"log/slog\"\n\nfunc f() { slog.Info(\"x\") }\n", []string{"slog.Info"}},
		"mutable variable":   {"// Package x is fine.\npackage x\n\nvar m = map[string]int{}\n", []string{"var m can be changed"}},
		"immutable variable": {"// Package x is fine.\npackage x\n\nimport \"errors\"\n\nvar errX = errors.New(\"x\")\nvar _ = &errX\n", nil},
		"generated": {
			"// Code generated by x. DO NOT EDIT.\n\npackage util\n\nfunc init() {\n" + long + "}\n", nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := sourceOf(t, map[string]string{"platform/x/a.go": test.source})
			found := slices.Concat(CheckBudgets(s, DefaultBudget()), CheckDocs(s), CheckHabits(s))
			if len(found) != len(test.want) {
				t.Fatalf("found %q, want %q", found, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(found[i], want) {
					t.Errorf("found %q, want it to say %q", found[i], want)
				}
			}
		})
	}
}

func TestMatches(t *testing.T) {
	tests := []struct {
		pattern, pkg string
		want         bool
	}{
		{"platform/...", "platform", true},
		{"platform/...", "platform/store/jetstream", true},
		{"platform/...", "platforms", false},
		{"services/*", "services/auth", true},
		{"services/*", "services/auth/internal/x", false},
		{"services/*/internal/...", "services/auth/internal/x/y", true},
		{"services/*/internal/grpcapi", "services/auth/internal/state", false},
		{"*/...", "cmd/fairlead", true},
		{"os", "os/exec", false},
		{"github.com/nats-io/...", "github.com/nats-io/nats.go/jetstream", true},
	}
	for _, test := range tests {
		if got := matches(test.pattern, test.pkg); got != test.want {
			t.Errorf("matches(%q, %q) = %v", test.pattern, test.pkg, got)
		}
	}
}

func TestImports(t *testing.T) {
	s := sourceOf(t, map[string]string{
		"cmd/a.go": "package a\n\nimport (\n\t\"os\"\n\tx \"github.com/fairlead/fairlead/platform/rpc\"\n\t\"google.golang.org/grpc\"\n)\n",
	})
	want := []Import{{Path: "os"}, {Path: "platform/rpc", Own: true}, {Path: "google.golang.org/grpc"}}
	if diff := cmp.Diff(want, s.Files[0].Imports()); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
}

func sourceOf(t *testing.T, files map[string]string) *Source {
	t.Helper()
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	s, err := Load(tree)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
