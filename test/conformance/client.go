package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead/fairlead/proto/gen/inference"
)

const headerLength = "Inference-Header-Content-Length"

// client asks a target.
type client struct {
	target Target
	http   *http.Client
	conn   *grpc.ClientConn
	grpc   inference.GRPCInferenceServiceClient
}

func newClient(target Target) (*client, error) {
	target.URL = strings.TrimSuffix(target.URL, "/")
	c := &client{target: target, http: &http.Client{Transport: &http.Transport{}}}
	if target.GRPC == "" {
		return c, nil
	}
	var err error
	if c.conn, err = grpc.NewClient(target.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return nil, fmt.Errorf("address %q: %w", target.GRPC, err)
	}
	c.grpc = inference.NewGRPCInferenceServiceClient(c.conn)
	return c, nil
}

func (c *client) close() {
	c.http.CloseIdleConnections()
	if c.conn != nil {
		c.conn.Close()
	}
}

// withKey adds the key to a call by gRPC.
func (c *client) withKey(ctx context.Context) context.Context {
	if c.target.Key == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.target.Key)
}

// answer is what came back over REST.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send makes a request. jsonLength, unless negative, is said in the header that the binary extension has.
func (c *client) send(ctx context.Context, method, path string, body []byte, jsonLength int) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.target.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.target.Key != "" {
		r.Header.Set("Authorization", "Bearer "+c.target.Key)
	}
	r.Header.Set("Content-Type", "application/json")
	if jsonLength >= 0 {
		r.Header.Set("Content-Type", "application/octet-stream")
		r.Header.Set(headerLength, strconv.Itoa(jsonLength))
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	return &answer{response.StatusCode, response.Header, b}, nil
}

// get reads a JSON object that is answered with 200.
func (c *client) get(ctx context.Context, path string, into any) error {
	a, err := c.send(ctx, http.MethodGet, path, nil, -1)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("GET %s got status %d: %s", path, a.status, a.body)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return fmt.Errorf("GET %s got no such JSON: %w: %s", path, err, a.body)
	}
	return nil
}

// refused checks that a request gets an error in the protocol's form.
func (c *client) refused(ctx context.Context, method, path string, body []byte) error {
	a, err := c.send(ctx, method, path, body, -1)
	if err != nil {
		return err
	}
	return a.isRefusal()
}

func (a *answer) isRefusal() error {
	if a.status < 400 || a.status > 499 {
		return fmt.Errorf("got status %d, want 4xx: %s", a.status, a.body)
	}
	var e struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(a.body, &e); err != nil || e.Error == "" {
		return fmt.Errorf(`got %s, want an object with the member "error"`, a.body)
	}
	return nil
}

func (c *client) modelPath() string { return "/v2/models/" + c.target.Model }

type serverMetadata struct {
	Name       *string   `json:"name"`
	Version    *string   `json:"version"`
	Extensions *[]string `json:"extensions"`
}

type modelMetadata struct {
	Name     string       `json:"name"`
	Versions []string     `json:"versions"`
	Platform *string      `json:"platform"`
	Inputs   []tensorSpec `json:"inputs"`
	Outputs  []tensorSpec `json:"outputs"`
}

type tensorSpec struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

func (c *client) metadata(ctx context.Context) (*modelMetadata, error) {
	var m modelMetadata
	return &m, c.get(ctx, c.modelPath(), &m)
}
