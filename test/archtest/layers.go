package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// Layer is a rule about imports. It speaks of the packages that From matches and
// ExceptFrom does not.
type Layer struct {
	Name       string
	Reason     string
	From       []string
	ExceptFrom []string
	// Own, when set, lists all that may be imported of this repository.
	Own []string
	// Foreign, when set, lists all that may be imported from outside it, beside
	// the standard library; []string{} is nothing.
	Foreign []string
	// Forbidden may not be imported, from wherever it comes.
	Forbidden []string
	// Tests are held to the rule as well.
	Tests bool
}

// edges are the packages of services that speak to the outside: protos, stores,
// files, sockets and processes stop there. A package that is not listed is domain.
func edges() []string {
	return []string{
		"services/*",
		"services/*/internal/grpcapi",
		"services/*/internal/reconciler/...",
		"services/*/internal/state/...",
		"services/compute/internal/driver/...",
		"services/router/internal/arrival",
		"services/router/internal/feed",
		"services/router/internal/snapshot",
		"services/router/internal/proxy",
		"services/router/internal/httpapi",
		"services/router/internal/reporting",
		"services/router/internal/loadreport",
		"services/router/internal/metrics",
		"services/telemetry/internal/ledger",
		"services/telemetry/internal/requestlog",
		"services/auth/internal/sealing",
		"services/auth/internal/secretfile",
		"services/auth/internal/oidc",
		"services/deploy/internal/access",
		"services/deploy/internal/upload",
		"services/*/internal/*test",     // fakes
		"services/gateway/internal/...", // the edge of the control plane: it has no domain
	}
}

// Layers are all rules.
func Layers() []Layer {
	return slices.Concat(moduleLayers(), serviceLayers(), dependencyLayers())
}

func moduleLayers() []Layer {
	return []Layer{
		{
			Name:   "platform",
			Reason: "plumbing knows no product: it has what two services need, and no service can be built into it",
			From:   []string{"platform/..."}, Tests: true,
			Own: []string{"platform/...", "proto/gen/fairlead/resource/v1"},
		},
		{
			Name:   "proto",
			Reason: "contracts depend on nothing of ours, so that everybody can depend on them",
			From:   []string{"proto/..."}, Tests: true,
			Own: []string{"proto/..."},
		},
		{
			Name:    "scorer",
			Reason:  "a scorer runs beside every model: it stays small, and is built and shipped without the control plane",
			From:    []string{"scorer/..."},
			Own:     []string{"scorer/...", "proto/gen/inference"},
			Foreign: []string{"golang.org/x/sys/...", "google.golang.org/grpc/...", "google.golang.org/protobuf/...", "github.com/yalue/onnxruntime_go"},
		},
		{
			Name:   "protocols in the scorer",
			Reason: "runtimes know tensors; one place knows the protocol that carries them, one the library that computes them",
			From:   []string{"scorer/..."}, ExceptFrom: []string{"scorer/internal/oip", "scorer/internal/onnx"},
			Forbidden: []string{"proto/...", "google.golang.org/...", "github.com/yalue/..."},
		},
		{
			Name:   "scorer's tests",
			Reason: "they test the scorer alone",
			From:   []string{"scorer/..."}, Tests: true,
			Own: []string{"scorer/...", "proto/gen/inference"},
		},
		{
			Name:   "assembly",
			Reason: "services are put together in one place; all else reaches them by their contracts",
			From:   []string{"*/..."}, Tests: true,
			ExceptFrom: []string{"cmd/internal/assembly/...", "services/...", "bench/..."},
			Forbidden:  []string{"services/..."},
		},
		{
			Name:   "benchmarks",
			Reason: "they measure what users get; only a simulation runs a service's rules, those of its pure package",
			From:   []string{"bench/..."}, Tests: true,
			Own: []string{"bench/...", "services/router/balancing"},
		},
		{
			Name:   "black box",
			Reason: "scenarios use what users use: the binary and the contracts",
			From:   []string{"test/..."}, Tests: true,
			Own: []string{"test/...", "proto/..."},
		},
		{
			Name:   "tools",
			Reason: "tools build the repository and are no part of it",
			From:   []string{"tools/..."}, Tests: true,
			Own: []string{"tools/..."},
		},
	}
}

func serviceLayers() []Layer {
	layers := []Layer{
		{
			Name:   "domain",
			Reason: "decisions are functions of what is wanted, what is observed and now: protos, stores and connections stop at the edges",
			From:   []string{"services/*/internal/..."}, ExceptFrom: edges(),
			Own:     []string{"platform/apierr", "platform/resourcename", "platform/etag", "platform/requirement", "platform/histogram", "services/..."},
			Foreign: []string{"go.yaml.in/yaml/v3", "github.com/golang-jwt/jwt/v5"}, // formats, without I/O
			Forbidden: append(edges(),
				"os", "os/exec", "os/signal", "net", "syscall", "database/sql", "log"),
		},
		{
			Name:   "domain without HTTP",
			Reason: "only what reads and writes headers knows HTTP",
			From:   []string{"services/*/internal/..."},
			ExceptFrom: append(edges(),
				"services/router/internal/requestid", "services/router/internal/tracecontext"),
			Forbidden: []string{"net/http/..."},
		},
		{
			Name:   "protos in services",
			Reason: "protos are contracts, not the shape of the inside: they stop at the edges",
			From:   []string{"services/*/internal/..."}, ExceptFrom: edges(),
			Forbidden: []string{"proto/...", "google.golang.org/protobuf/...", "google.golang.org/grpc/..."},
		},
	}
	for _, service := range []string{"auth", "compute", "deploy", "gateway", "router", "telemetry"} {
		layers = append(layers, Layer{
			Name:   "services apart: " + service,
			Reason: "a service is reached by its contract, in one process too; otherwise it could not run alone",
			From:   []string{"services/" + service + "/..."}, Tests: true,
			Own: []string{"services/" + service + "/...", "platform/...", "proto/..."},
		})
	}
	return layers
}

func dependencyLayers() []Layer {
	everywhere := []string{"*/..."}
	return []Layer{
		{
			Name:   "NATS",
			Reason: "state and events are behind interfaces: another store must be possible without touching a service",
			From:   everywhere, ExceptFrom: []string{"platform/bus/...", "platform/events/...", "platform/store/jetstream/...", "platform/backup/streams", "cmd/internal/assembly", "test/..."},
			Forbidden: []string{"github.com/nats-io/..."},
		},
		{
			Name:   "NATS in tests of services",
			Reason: "inside a service tests use the in-memory store, which the suite of platform/store proves equal; only a whole service is run on the real one",
			From:   []string{"services/..."}, ExceptFrom: []string{"services/auth", "services/compute", "services/deploy", "services/gateway"}, Tests: true,
			Forbidden: []string{"github.com/nats-io/...", "platform/store/jetstream/...", "platform/bus/..."},
		},
		{
			Name:   "Kubernetes",
			Reason: "no service may know where it runs; there is no Kubernetes driver yet",
			From:   everywhere, Tests: true,
			Forbidden: []string{"k8s.io/...", "sigs.k8s.io/..."},
		},
		{
			Name:   "gocloud",
			Reason: "buckets and sealing are each in one place",
			From:   everywhere, ExceptFrom: []string{"platform/artefact/...", "services/auth/internal/sealing"},
			Forbidden: []string{"gocloud.dev/..."},
		},
		{
			Name:   "command line",
			Reason: "only the program has a command line",
			From:   everywhere, ExceptFrom: []string{"cmd/..."}, Tests: true,
			Forbidden: []string{"github.com/spf13/..."},
		},
		{
			Name:      "log",
			Reason:    "log/slog is handed in; there is no global logger",
			From:      everywhere,
			Forbidden: []string{"log"},
		},
		{
			Name:   "taste in tests",
			Reason: "tests compare with go-cmp and use fakes written by hand",
			From:   everywhere, Tests: true,
			Forbidden: []string{"github.com/stretchr/...", "github.com/golang/mock/...", "go.uber.org/mock/..."},
		},
	}
}

// CheckLayers gives every import that breaks a rule.
func CheckLayers(s *Source, layers []Layer) []string {
	var broken []string
	for _, f := range s.Files {
		if f.Generated {
			continue
		}
		for _, l := range layers {
			if f.Test && !l.Tests || !matchesAny(l.From, f.Package) || matchesAny(l.ExceptFrom, f.Package) {
				continue
			}
			for _, i := range f.Imports() {
				if !l.allows(i, f.Package) {
					broken = append(broken, fmt.Sprintf("%s imports %s\n\t%s: %s", f.Path, i.Path, l.Name, l.Reason))
				}
			}
		}
	}
	return broken
}

func (l Layer) allows(i Import, from string) bool {
	if i.Own && i.Path == from { // a test outside the package that it tests
		return true
	}
	if matchesAny(l.Forbidden, i.Path) {
		return false
	}
	switch {
	case i.Own:
		return l.Own == nil || matchesAny(l.Own, i.Path)
	case i.standard():
		return true
	}
	return l.Foreign == nil || matchesAny(l.Foreign, i.Path)
}

// CheckCovered gives the patterns that match no package: rules about what is gone.
func CheckCovered(s *Source, patterns []string) []string {
	var dead []string
	for _, p := range patterns {
		if !slices.ContainsFunc(s.Files, func(f File) bool { return matches(p, f.Package) }) {
			dead = append(dead, p)
		}
	}
	slices.Sort(dead)
	return slices.Compact(dead)
}

// describe joins findings for a test's report.
func describe(findings []string) string { return strings.Join(findings, "\n") }
