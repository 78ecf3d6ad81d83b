package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

type object = map[string]any

// inferAnswer is an answer to an inference request.
type inferAnswer struct {
	Model      string  `json:"model_name"`
	Version    string  `json:"model_version"`
	ID         *string `json:"id"`
	RawOutputs []struct {
		tensorSpec
		Data       any            `json:"data"`
		Parameters map[string]any `json:"parameters"`
	} `json:"outputs"`

	outputs []tensor // with their elements, wherever they were
	binary  int      // how many outputs were binary
}

// request builds a request; change may change it before it is sent.
func (c *client) request(ctx context.Context, change func(object)) (object, *modelMetadata, error) {
	m, err := c.metadata(ctx)
	if err != nil {
		return nil, nil, err
	}
	inputs := []any{}
	for _, t := range c.samples(m.Inputs) {
		inputs = append(inputs, object{"name": t.Name, "datatype": t.Datatype, "shape": t.Shape, "data": t.elements})
	}
	r := object{"inputs": inputs}
	if change != nil {
		change(r)
	}
	return r, m, nil
}

// infer asks with a sample that change may change, and reads the answer.
func (c *client) infer(ctx context.Context, change func(object)) (*inferAnswer, *modelMetadata, error) {
	r, m, err := c.request(ctx, change)
	if err != nil {
		return nil, nil, err
	}
	a, err := c.inferWith(ctx, c.modelPath()+"/infer", must(r), -1)
	return a, m, err
}

func (c *client) inferWith(ctx context.Context, path string, body []byte, jsonLength int) (*inferAnswer, error) {
	got, err := c.send(ctx, http.MethodPost, path, body, jsonLength)
	if err != nil {
		return nil, err
	}
	if got.status != http.StatusOK {
		return nil, fmt.Errorf("got status %d: %s", got.status, got.body)
	}
	return readInfer(got)
}

func readInfer(got *answer) (*inferAnswer, error) {
	text, rest := got.body, []byte(nil)
	if given := got.header.Get(headerLength); given != "" {
		n, err := strconv.Atoi(given)
		if err != nil || n < 0 || n > len(text) {
			return nil, fmt.Errorf("the header %s is %q for %d bytes", headerLength, given, len(text))
		}
		text, rest = text[:n], text[n:]
	}
	var a inferAnswer
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("the answer is no such JSON: %w: %s", err, text)
	}
	for _, o := range a.RawOutputs {
		t := tensor{tensorSpec: o.tensorSpec}
		if size, ok := o.Parameters["binary_data_size"].(float64); ok {
			if int(size) > len(rest) {
				return nil, fmt.Errorf("output %s has %v bytes, %d are left", o.Name, size, len(rest))
			}
			var err error
			if t.elements, err = readRaw(o.Datatype, rest[:int(size)]); err != nil {
				return nil, err
			}
			rest = rest[int(size):]
			a.binary++
		} else {
			t.elements = flatten(o.Data)
		}
		if int64(len(t.elements)) != count(t.Shape) {
			return nil, fmt.Errorf("output %s has %d elements in shape %v", o.Name, len(t.elements), t.Shape)
		}
		a.outputs = append(a.outputs, t)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes of binary data belong to no output", len(rest))
	}
	return &a, nil
}

func inferRequirements() []requirement {
	return []requirement{
		{"INFER-01", "an inference request is answered with the model's name and all outputs of the metadata", checkInfer},
		{"INFER-02", "the request's id comes back", func(ctx context.Context, c *client) error {
			a, _, err := c.infer(ctx, func(r object) { r["id"] = "an id, 7" })
			if err == nil && (a.ID == nil || *a.ID != "an id, 7") {
				err = fmt.Errorf("the id is %v", a.ID)
			}
			return err
		}},
		{"INFER-03", "data may be nested as the shape is", checkNested},
		{"INFER-04", "outputs that are asked for are given, and no others", checkRequested},
		{"INFER-05", "members and parameters that the server does not know are no error", func(ctx context.Context, c *client) error {
			return c.sameAsPlain(ctx, func(r object) { r["parameters"] = object{"x_unknown": "y", "x_flag": true, "x_number": 1.5} })
		}},
		{"INFER-06", "a version of the model can be asked", func(ctx context.Context, c *client) error {
			r, m, err := c.request(ctx, nil)
			if err != nil {
				return err
			}
			version := c.version(m)
			if version == "" {
				return skipError("the model has no versions")
			}
			a, err := c.inferWith(ctx, c.modelPath()+"/versions/"+version+"/infer", must(r), -1)
			if err == nil && a.Version != "" && a.Version != version {
				err = fmt.Errorf("version %s answered", a.Version)
			}
			return err
		}},
	}
}

func (c *client) version(m *modelMetadata) string {
	if c.target.Version != "" || len(m.Versions) == 0 {
		return c.target.Version
	}
	return m.Versions[0]
}

func checkInfer(ctx context.Context, c *client) error {
	a, m, err := c.infer(ctx, nil)
	if err != nil {
		return err
	}
	if a.Model != c.target.Model {
		return fmt.Errorf("model_name is %q", a.Model)
	}
	if len(a.outputs) != len(m.Outputs) {
		return fmt.Errorf("got %d outputs, the metadata has %d", len(a.outputs), len(m.Outputs))
	}
	for i, o := range a.outputs {
		want := m.Outputs[i]
		if o.Name != want.Name || o.Datatype != want.Datatype || !fits(want.Shape, o.Shape) {
			return fmt.Errorf("output %d is %s %s %v, the metadata has %s %s %v", i, o.Name, o.Datatype, o.Shape, want.Name, want.Datatype, want.Shape)
		}
	}
	return nil
}

func fits(spec, shape []int64) bool {
	if len(spec) != len(shape) {
		return false
	}
	for i := range spec {
		if spec[i] >= 0 && spec[i] != shape[i] {
			return false
		}
	}
	return true
}

// sameAsPlain checks that a changed request gets the answer of the plain one.
func (c *client) sameAsPlain(ctx context.Context, change func(object)) error {
	plain, _, err := c.infer(ctx, nil)
	if err != nil {
		return err
	}
	changed, _, err := c.infer(ctx, change)
	if err != nil {
		return err
	}
	return same(plain.outputs, changed.outputs)
}

func checkNested(ctx context.Context, c *client) error {
	m, err := c.metadata(ctx)
	if err != nil {
		return err
	}
	return c.sameAsPlain(ctx, func(r object) {
		for i, t := range c.samples(m.Inputs) {
			if len(t.Shape) > 0 {
				r["inputs"].([]any)[i].(object)["data"] = t.nested()
			}
		}
	})
}

func checkRequested(ctx context.Context, c *client) error {
	m, err := c.metadata(ctx)
	if err != nil {
		return err
	}
	if len(m.Outputs) == 0 {
		return skipError("the model has no outputs")
	}
	last := m.Outputs[len(m.Outputs)-1].Name
	a, _, err := c.infer(ctx, func(r object) { r["outputs"] = []any{object{"name": last}} })
	if err != nil {
		return err
	}
	if len(a.outputs) != 1 || a.outputs[0].Name != last {
		return fmt.Errorf("asked for %s, got %v", last, a.outputs)
	}
	return nil
}

func binaryRequirements() []requirement {
	return []requirement{
		{"BIN-01", "inputs may be binary data behind the JSON", func(ctx context.Context, c *client) error {
			_, err := c.binaryAsPlain(ctx, nil)
			return err
		}},
		{"BIN-02", "all outputs are binary data when binary_data_output is true", func(ctx context.Context, c *client) error {
			a, err := c.binaryAsPlain(ctx, func(r object) { r["parameters"] = object{"binary_data_output": true} })
			if err == nil && a.binary != len(a.outputs) {
				err = fmt.Errorf("%d of %d outputs are binary", a.binary, len(a.outputs))
			}
			return err
		}},
		{"BIN-03", "an output is binary data when its parameter binary_data is true", func(ctx context.Context, c *client) error {
			m, err := c.metadata(ctx)
			if err != nil {
				return err
			}
			outputs := []any{}
			for _, o := range m.Outputs {
				outputs = append(outputs, object{"name": o.Name, "parameters": object{"binary_data": true}})
			}
			a, err := c.binaryAsPlain(ctx, func(r object) { r["outputs"] = outputs })
			if err == nil && a.binary != len(a.outputs) {
				err = fmt.Errorf("%d of %d outputs are binary", a.binary, len(a.outputs))
			}
			return err
		}},
		{"BIN-04", "binary data that does not fit is refused", func(ctx context.Context, c *client) error {
			text, data, err := c.binaryRequest(ctx, nil)
			if err != nil || len(data) == 0 {
				return err
			}
			a, err := c.send(ctx, http.MethodPost, c.modelPath()+"/infer", append(text, data[:len(data)-1]...), len(text))
			if err != nil {
				return err
			}
			return a.isRefusal()
		}},
	}
}

// binaryRequest builds a request whose inputs are all binary data.
func (c *client) binaryRequest(ctx context.Context, change func(object)) (text, data []byte, err error) {
	var server serverMetadata
	if err := c.get(ctx, "/v2", &server); err != nil {
		return nil, nil, err
	}
	if server.Extensions == nil || !bytes.Contains(must(*server.Extensions), []byte(`"binary_tensor_data"`)) {
		return nil, nil, skipError("the server does not have the extension binary_tensor_data")
	}
	r, m, err := c.request(ctx, change)
	if err != nil {
		return nil, nil, err
	}
	for i, t := range c.samples(m.Inputs) {
		input := r["inputs"].([]any)[i].(object)
		delete(input, "data")
		input["parameters"] = object{"binary_data_size": len(t.raw())}
		data = append(data, t.raw()...)
	}
	return must(r), data, nil
}

// binaryAsPlain asks with binary inputs and checks that the answer is that to plain ones.
func (c *client) binaryAsPlain(ctx context.Context, change func(object)) (*inferAnswer, error) {
	text, data, err := c.binaryRequest(ctx, change)
	if err != nil {
		return nil, err
	}
	plain, _, err := c.infer(ctx, nil)
	if err != nil {
		return nil, err
	}
	a, err := c.inferWith(ctx, c.modelPath()+"/infer", append(text, data...), len(text))
	if err != nil {
		return nil, err
	}
	return a, same(plain.outputs, a.outputs)
}
