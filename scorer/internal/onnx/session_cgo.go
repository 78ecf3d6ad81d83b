//go:build cgo

package onnx

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// Session is a model that is loaded.
type Session struct {
	metadata tensor.Metadata
	choice   Choice
	session  *ort.DynamicAdvancedSession
	// scalars has the outputs without dimensions, which have to be made before a run.
	scalars []atomic.Bool
	// unexpected says that outputs turned out to have other shapes than could be told before.
	unexpected atomic.Bool
	runs       chan *ort.RunOptions // not in use
}

// loading guards ONNX Runtime's environment, of which a process has one.
var loading sync.Mutex

// Open loads a model. It fails with a *LibraryError without ONNX Runtime, with a *ModelError when the model is to blame.
func Open(cfg Config, deps Deps) (*Session, error) {
	if err := load(cfg.Library); err != nil {
		return nil, err
	}
	inputs, outputs, err := signature(cfg.Model)
	if err != nil {
		return nil, &ModelError{fmt.Sprintf("%s is no model that ONNX Runtime %s can load: %s", cfg.Model, ort.GetVersion(), oneLine(err.Error()))}
	}
	metadata, left, err := describe(cfg.Name, inputs, outputs)
	if err != nil {
		return nil, &ModelError{fmt.Sprintf("%s can't be served: %v", cfg.Model, err)}
	}
	if len(left) > 0 {
		deps.Log.Warn("outputs are left out: they are no tensors, or of 16-bit floats and of a size that is not known before", "outputs", left)
	}
	session, choice, err := choose(cfg.Providers, func(p Provider) (*ort.DynamicAdvancedSession, error) {
		session, err := start(cfg, p, metadata)
		if file := p.file(); err != nil && file != "" && !isFile(filepath.Join(filepath.Dir(cfg.Library), file)) {
			return nil, fmt.Errorf("this ONNX Runtime is built without it: %s is not beside its library", file)
		}
		return session, err
	})
	if err != nil {
		return nil, &ModelError{fmt.Sprintf("%s can't be loaded: %s", cfg.Model, oneLine(err.Error()))}
	}
	for _, r := range choice.Refused {
		deps.Log.Info("execution provider not taken", "provider", r.Provider, "cause", r.Cause)
	}
	deps.Log.Info("model loaded", "model", cfg.Model, "provider", choice.Provider, "threads", cfg.Threads, "onnxruntime", ort.GetVersion())
	return &Session{
		metadata: metadata, choice: choice, session: session,
		scalars: make([]atomic.Bool, len(metadata.Outputs)), runs: make(chan *ort.RunOptions, idleRuns),
	}, nil
}

// load loads ONNX Runtime if no one has.
func load(library string) error {
	loading.Lock()
	defer loading.Unlock()
	if ort.IsInitialized() {
		return nil
	}
	ort.SetSharedLibraryPath(library)
	// What fails is an error of a call; ONNX Runtime's own log would only repeat it.
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return &LibraryError{fmt.Sprintf("%s is no ONNX Runtime %s or later that works here (%s); %s", library, oldest, oneLine(err.Error()), remedy)}
	}
	if err := ort.DisableTelemetry(); err != nil {
		return fmt.Errorf("switch off ONNX Runtime's telemetry: %w", err)
	}
	return nil
}

// signature reads what the model takes and gives. The binding has to load the model for it; nothing is optimised then.
func signature(model string) (inputs, outputs []ort.InputOutputInfo, err error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, nil, err
	}
	defer release(options)
	if err := errors.Join(options.SetGraphOptimizationLevel(ort.GraphOptimizationLevelDisableAll), options.SetIntraOpNumThreads(1)); err != nil {
		return nil, nil, err
	}
	return ort.GetInputOutputInfoWithOptions(model, options)
}

// start makes the session that computes, on one provider.
func start(cfg Config, p Provider, metadata tensor.Metadata) (*ort.DynamicAdvancedSession, error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer release(options)
	err = errors.Join(
		options.SetIntraOpNumThreads(cfg.Threads),
		options.SetInterOpNumThreads(1),
		// Threads that wait by spinning would use up the processors of the replicas beside this one.
		options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
	)
	if err != nil {
		return nil, err
	}
	if err := appendProvider(options, p); err != nil {
		return nil, err
	}
	if p == TensorRT && slices.Contains(cfg.Providers, CUDA) {
		if err := appendProvider(options, CUDA); err != nil { // for what TensorRT can't do
			return nil, err
		}
	}
	return ort.NewDynamicAdvancedSession(cfg.Model, namesOf(metadata.Inputs), namesOf(metadata.Outputs), options)
}

// release gives memory of ONNX Runtime back, which can't fail for what has been made.
func release(held interface{ Destroy() error }) { _ = held.Destroy() }

func appendProvider(options *ort.SessionOptions, p Provider) error {
	switch p {
	case CUDA:
		cuda, err := ort.NewCUDAProviderOptions()
		if err != nil {
			return err
		}
		defer release(cuda)
		return options.AppendExecutionProviderCUDA(cuda)
	case TensorRT:
		tensorRT, err := ort.NewTensorRTProviderOptions()
		if err != nil {
			return err
		}
		defer release(tensorRT)
		return options.AppendExecutionProviderTensorRT(tensorRT)
	case OpenVINO:
		return options.AppendExecutionProviderOpenVINO(nil)
	case CPU: // always there
	}
	return nil
}

// describe turns what ONNX Runtime says into a signature. It names the outputs that have no place in one.
func describe(name string, inputs, outputs []ort.InputOutputInfo) (m tensor.Metadata, left []string, err error) {
	m = tensor.Metadata{Name: name, Platform: Platform}
	var problems []string
	for _, i := range inputs {
		datatype := datatypeOf(i.DataType)
		switch {
		case i.OrtValueType != ort.ONNXTypeTensor:
			problems = append(problems, fmt.Sprintf("input %q is no tensor", i.Name))
		case datatype == tensor.Invalid:
			problems = append(problems, fmt.Sprintf("input %q has elements of type %v, which can't be sent", i.Name, i.DataType))
		case len(i.Dimensions) == 0 && (isHalf(datatype) || datatype == tensor.Bytes):
			problems = append(problems, fmt.Sprintf("input %q is %s without dimensions, which can't be sent", i.Name, datatype))
		default:
			m.Inputs = append(m.Inputs, tensor.Spec{Name: i.Name, Datatype: datatype, Shape: slices.Clone(i.Dimensions)})
		}
	}
	for _, o := range outputs {
		datatype := datatypeOf(o.DataType)
		switch {
		case o.OrtValueType == ort.ONNXTypeSequence:
			m.Outputs = append(m.Outputs, tensor.Spec{Name: o.Name, Datatype: tensor.FP32, Shape: []int64{-1, -1}})
		case o.OrtValueType == ort.ONNXTypeTensor && isHalf(datatype) && (len(o.Dimensions) == 0 || slices.Contains(o.Dimensions[1:], -1)):
			left = append(left, o.Name) // its size must be known before a run
		case o.OrtValueType == ort.ONNXTypeTensor && datatype != tensor.Invalid:
			m.Outputs = append(m.Outputs, tensor.Spec{Name: o.Name, Datatype: datatype, Shape: slices.Clone(o.Dimensions)})
		default:
			left = append(left, o.Name)
		}
	}
	if len(m.Inputs) == 0 && len(problems) == 0 {
		problems = append(problems, "it has no inputs")
	}
	if len(m.Outputs) == 0 {
		problems = append(problems, "it has no output that can be sent")
	}
	if len(problems) > 0 {
		return m, nil, errors.New(strings.Join(problems, "; "))
	}
	return m, left, nil
}

func namesOf(specs []tensor.Spec) []string {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	return names
}

// Metadata is the model's signature.
func (s *Session) Metadata() tensor.Metadata { return s.metadata }

// Choice says what the model is computed on.
func (s *Session) Choice() Choice { return s.choice }

// Close gives the model's memory back. Nothing may run any more.
func (s *Session) Close() {
	close(s.runs)
	for run := range s.runs {
		_ = run.Destroy()
	}
	_ = s.session.Destroy()
}

// Infer computes an answer. It fails with the context's error when that ends first.
func (s *Session) Infer(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	if err := s.metadata.Check(r); err != nil {
		return nil, err
	}
	inputs, err := s.inputs(r)
	if err != nil {
		return nil, err
	}
	defer destroy(inputs)
	outputs, err := s.run(ctx, inputs, r)
	if err != nil {
		return nil, err
	}
	defer destroy(outputs)
	wanted := s.metadata.Wanted(r)
	response := &tensor.Response{Outputs: make([]tensor.Tensor, len(wanted))}
	for i, spec := range wanted {
		at := slices.IndexFunc(s.metadata.Outputs, func(o tensor.Spec) bool { return o.Name == spec.Name })
		if response.Outputs[i], err = fromValue(spec, outputs[at]); err != nil {
			return nil, &tensor.Failure{Kind: tensor.Failed, Cause: fmt.Sprintf("output %q: %v", spec.Name, err)}
		}
	}
	return response, nil
}
