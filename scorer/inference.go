package scorer

import (
	"path/filepath"
	"slices"

	"github.com/fairlead/fairlead/scorer/internal/oip"
)

// serveTensors has the parts answer the Open Inference Protocol when the runtime has tensors.
func (p *parts) serveTensors(cfg Config, deps Deps) {
	if p.model == nil {
		return
	}
	names, versions := modelNames(cfg)
	handler := oip.New(
		oip.Config{Server: "fairlead", Version: deps.Version, Names: names, Versions: versions, MaxBody: cfg.Limits.MaxBody},
		oip.Deps{
			Model: p.model, Gate: p.gate, Log: deps.Log,
			Loaded: p.runtime.Loaded, Up: func() bool { return p.runtime.Status().Ready > 0 },
		},
	)
	p.inference = handler
	rest := p.close
	p.close = func() {
		handler.Close()
		rest()
	}
}

// modelNames gives the names and versions by which the one model may be asked for: those of the service and those of the model's
// folder, <name>/<version>. None is no restriction.
func modelNames(cfg Config) (names, versions []string) {
	unnamed := DefaultConfig()
	if cfg.ServiceName != unnamed.ServiceName {
		names = append(names, cfg.ServiceName)
	}
	if cfg.ServiceVersion != unnamed.ServiceVersion {
		versions = append(versions, cfg.ServiceVersion)
	}
	if cfg.ModelDir != "" && filepath.Base(cfg.ModelDir) != modelsFolder && filepath.Base(filepath.Dir(filepath.Dir(cfg.ModelDir))) == modelsFolder {
		names = append(names, filepath.Base(filepath.Dir(cfg.ModelDir)))
		versions = append(versions, filepath.Base(cfg.ModelDir))
	}
	return compactNames(names), compactNames(versions)
}

func compactNames(names []string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
