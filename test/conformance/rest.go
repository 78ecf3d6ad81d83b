package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

const unknown = "there-is-no-such-model"

func restRequirements() []requirement {
	get := func(path string) func(context.Context, *client) error {
		return func(ctx context.Context, c *client) error { return c.get(ctx, path, nil) }
	}
	return []requirement{
		{"REST-01", "GET /v2/health/live answers 200", get("/v2/health/live")},
		{"REST-02", "GET /v2/health/ready answers 200 on a server that is ready", get("/v2/health/ready")},
		{"REST-03", "GET /v2 gives name, version and extensions", func(ctx context.Context, c *client) error {
			var m serverMetadata
			if err := c.get(ctx, "/v2", &m); err != nil {
				return err
			}
			if m.Name == nil || m.Version == nil || m.Extensions == nil {
				return errors.New("a member is missing")
			}
			return nil
		}},
		{"REST-04", "GET /v2/models/M/ready answers 200 for a model that is ready", func(ctx context.Context, c *client) error {
			return c.get(ctx, c.modelPath()+"/ready", nil)
		}},
		{"REST-05", "GET /v2/models/M gives name, platform, inputs and outputs, well-formed", checkMetadata},
		{"REST-06", "the same for each version that the metadata names", func(ctx context.Context, c *client) error {
			m, err := c.metadata(ctx)
			if err != nil {
				return err
			}
			if c.version(m) == "" {
				return skipError("the model has no versions")
			}
			path := c.modelPath() + "/versions/" + c.version(m)
			return errors.Join(c.get(ctx, path, &modelMetadata{}), c.get(ctx, path+"/ready", nil))
		}},
		{"REST-07", "a model that is not there is refused", func(ctx context.Context, c *client) error {
			return errors.Join(c.refused(ctx, http.MethodGet, "/v2/models/"+unknown, nil), c.refused(ctx, http.MethodPost, "/v2/models/"+unknown+"/infer", []byte(`{"inputs":[]}`)))
		}},
		{"REST-08", "a version that is not there is refused", func(ctx context.Context, c *client) error {
			return c.refused(ctx, http.MethodGet, c.modelPath()+"/versions/there-is-none", nil)
		}},
	}
}

func checkMetadata(ctx context.Context, c *client) error {
	m, err := c.metadata(ctx)
	if err != nil {
		return err
	}
	if m.Name != c.target.Model {
		return fmt.Errorf("the name is %q", m.Name)
	}
	if m.Platform == nil || len(m.Inputs) == 0 || len(m.Outputs) == 0 {
		return errors.New("platform, inputs or outputs are missing")
	}
	for _, s := range append(append([]tensorSpec{}, m.Inputs...), m.Outputs...) {
		if s.Name == "" || s.Datatype != "BYTES" && elementSize(s.Datatype) == 0 || s.Shape == nil {
			return fmt.Errorf("the tensor %+v is not described", s)
		}
	}
	return nil
}

// refusalRequirements are about requests that are wrong.
func refusalRequirements() []requirement {
	refuses := func(change func(object)) func(context.Context, *client) error {
		return func(ctx context.Context, c *client) error {
			r, _, err := c.request(ctx, change)
			if err != nil {
				return err
			}
			return c.refused(ctx, http.MethodPost, c.modelPath()+"/infer", must(r))
		}
	}
	first := func(r object) object { return r["inputs"].([]any)[0].(object) }
	return []requirement{
		{"ERR-01", "what is no JSON is refused", func(ctx context.Context, c *client) error {
			return c.refused(ctx, http.MethodPost, c.modelPath()+"/infer", []byte(`{"inputs":[`))
		}},
		{"ERR-02", "a request without inputs is refused", refuses(func(r object) { delete(r, "inputs") })},
		{"ERR-03", "an input that is missing is refused", refuses(func(r object) { r["inputs"] = r["inputs"].([]any)[1:] })},
		{"ERR-04", "an input that the model does not have is refused", refuses(func(r object) { first(r)["name"] = "there-is-no-such-input" })},
		{"ERR-05", "a datatype that is not the input's is refused", refuses(func(r object) {
			other := "UINT16"
			if first(r)["datatype"] == other {
				other = "UINT32"
			}
			first(r)["datatype"] = other
		})},
		{"ERR-06", "a datatype that does not exist is refused", refuses(func(r object) { first(r)["datatype"] = "FP31" })},
		{"ERR-07", "more dimensions than the input has are refused", refuses(func(r object) {
			first(r)["shape"] = append(append([]int64{}, first(r)["shape"].([]int64)...), 1)
		})},
		{"ERR-08", "less data than the shape says is refused", refuses(func(r object) {
			first(r)["data"] = first(r)["data"].([]any)[1:]
		})},
		{"ERR-09", "an input without data is refused", refuses(func(r object) { delete(first(r), "data") })},
		{"ERR-10", "an output that the model does not have is refused", refuses(func(r object) {
			r["outputs"] = []any{object{"name": "there-is-no-such-output"}}
		})},
	}
}
