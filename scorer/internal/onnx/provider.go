package onnx

import (
	"fmt"
	"slices"
	"strings"
)

// Provider is what ONNX Runtime computes on.
type Provider string

// Execution providers.
const (
	TensorRT Provider = "tensorrt"
	CUDA     Provider = "cuda"
	OpenVINO Provider = "openvino"
	CPU      Provider = "cpu"
)

// file is the library that ONNX Runtime loads a provider from, beside its own; empty for one that is built in.
func (p Provider) file() string {
	if p == CPU {
		return ""
	}
	return "libonnxruntime_providers_" + string(p) + ".so"
}

// ByWhatIsThere is the order in which providers are tried when nothing else is asked for: the fastest first.
func ByWhatIsThere() []Provider { return []Provider{TensorRT, CUDA, OpenVINO, CPU} }

// ParseProviders reads a comma-separated order. ONNX Runtime's own names, like CUDAExecutionProvider, are understood. The CPU,
// which can run every model, is always the last.
func ParseProviders(text string) ([]Provider, error) {
	if strings.TrimSpace(text) == "" {
		return ByWhatIsThere(), nil
	}
	var order []Provider
	var unknown []string
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		switch p := Provider(strings.TrimSuffix(strings.ToLower(word), "executionprovider")); p {
		case TensorRT, CUDA, OpenVINO:
			if !slices.Contains(order, p) {
				order = append(order, p)
			}
		case CPU:
		default:
			unknown = append(unknown, fmt.Sprintf("%q", word))
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%s: no execution provider has this name; there are tensorrt, cuda, openvino and cpu", strings.Join(unknown, ", "))
	}
	return append(order, CPU), nil
}

// Choice says what a model is computed on and why not on what was preferred.
type Choice struct {
	Provider Provider
	// Refused has the providers that came before, in the order in which they were tried.
	Refused []Refusal
}

// Refusal is why a provider was not taken, in one line.
type Refusal struct {
	Provider Provider `json:"provider"`
	Cause    string   `json:"cause"`
}

// choose tries providers in order until one opens. The last error is given when none does.
func choose[T any](order []Provider, open func(Provider) (T, error)) (T, Choice, error) {
	var choice Choice
	var none T
	var last error
	for _, p := range order {
		opened, err := open(p)
		if err == nil {
			choice.Provider = p
			return opened, choice, nil
		}
		last = err
		choice.Refused = append(choice.Refused, Refusal{Provider: p, Cause: oneLine(err.Error())})
	}
	return none, choice, last
}

// oneLine makes a message of ONNX Runtime readable in a list: without line breaks, and not endless.
func oneLine(text string) string {
	const longest = 300
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
