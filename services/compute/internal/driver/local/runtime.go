package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/services/compute/internal/driver/local/interpreter"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

// needsPython says whether the replica can't start without an interpreter.
func needsPython(spec workload.Spec) bool {
	kind := spec.RuntimeKind()
	return spec.Python != nil || kind == workload.Script || kind == workload.ScikitLearn
}

// noPython says whether an error only means that there is no interpreter.
func noPython(err error) bool { return errors.Is(err, interpreter.ErrNone) }

// runtimeFlags tell the scorer what answers.
func runtimeFlags(spec workload.Spec) ([]string, error) {
	kind := spec.RuntimeKind()
	flags := []string{"--runtime", string(kind)}
	switch kind {
	case workload.Script:
		return append(append(flags, "--entry-script", spec.EntryScript), workerFlags(spec)...), nil
	case workload.ScikitLearn:
		return append(flags, workerFlags(spec)...), nil
	case workload.ONNX:
		return append(flags, onnxFlags(spec.Runtime.ONNX)...), nil
	case workload.Custom:
		custom, err := customFlags(spec.Runtime.Custom, spec.MaxConcurrent)
		return append(flags, custom...), err
	}
	return nil, fmt.Errorf("start the scorer: the runtime %q is not known", kind)
}

func workerFlags(spec workload.Spec) []string {
	w := spec.Workers()
	flags := []string{"--workers", strconv.Itoa(workers(spec))}
	if w.Threads > 0 {
		flags = append(flags, "--threads", strconv.Itoa(w.Threads))
	}
	if w.Preload {
		flags = append(flags, "--preload")
	}
	if w.MaxMemoryBytes > 0 {
		flags = append(flags, "--worker-memory", strconv.FormatInt(w.MaxMemoryBytes, 10))
	}
	return flags
}

// workers is what the user gives, in the runtime's settings or as WORKER_COUNT;
// else as many as the requests that are worked on at a time need.
func workers(spec workload.Spec) int {
	w := spec.Workers()
	if w.Count > 0 {
		return w.Count
	}
	if n, err := strconv.Atoi(spec.Environment["WORKER_COUNT"]); err == nil && n > 0 {
		return n
	}
	threads := w.Threads
	if threads == 0 {
		threads, _ = strconv.Atoi(spec.Environment["WORKER_THREADS"])
	}
	threads = max(1, threads)
	return max(1, (spec.MaxConcurrent+threads-1)/threads)
}

func onnxFlags(o workload.ONNXSettings) []string {
	var flags []string
	if len(o.ExecutionProviders) > 0 {
		flags = append(flags, "--execution-providers", strings.Join(o.ExecutionProviders, ","))
	}
	if o.MaxBatchSize > 1 {
		flags = append(flags, "--max-batch-size", strconv.Itoa(o.MaxBatchSize), "--max-batch-delay", o.MaxBatchDelay.String())
	}
	return flags
}

func customFlags(c workload.CustomSettings, concurrent int) ([]string, error) {
	if len(c.Command) == 0 {
		return nil, errors.New("start the scorer: a server of the user's own needs a command here")
	}
	command, err := json.Marshal(c.Command)
	if err != nil {
		return nil, fmt.Errorf("start the scorer: %w", err)
	}
	protocol := "http"
	if c.GRPC {
		protocol = "grpc"
	}
	flags := []string{"--custom-command", string(command), "--custom-protocol", protocol, "--custom-concurrency", strconv.Itoa(max(1, concurrent))}
	if c.Port > 0 {
		flags = append(flags, "--custom-port", strconv.Itoa(c.Port))
	}
	for _, route := range [][2]string{
		{"--custom-health-route", c.HealthRoute}, {"--custom-ready-route", c.ReadinessRoute}, {"--custom-scoring-route", c.ScoringRoute},
	} {
		if route[1] != "" {
			flags = append(flags, route[0], route[1])
		}
	}
	return flags, nil
}
