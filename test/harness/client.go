package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Result is how a command of the command line ended.
type Result struct {
	Args           []string
	Stdout, Stderr string
	Code           int
}

func (r Result) String() string {
	return fmt.Sprintf("fairlead %s\nexit code %d\nstdout:\n%s\nstderr:\n%s", strings.Join(r.Args, " "), r.Code, r.Stdout, r.Stderr)
}

// CLI runs a command as a user does.
func (i *Installation) CLI(ctx context.Context, args ...string) (Result, error) {
	cmd := exec.CommandContext(ctx, i.Program(), args...)
	cmd.Dir = i.home()
	cmd.Env = environment(i.home(), "FAIRLEAD_SERVER="+i.Server, "FAIRLEAD_TOKEN="+i.Token)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := Result{Args: args, Stdout: stdout.String(), Stderr: stderr.String()}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() >= 0 {
		r.Code, err = exit.ExitCode(), nil
	}
	return r, err
}

// Run runs a command that must succeed and gives its stdout.
func (i *Installation) Run(args ...string) string {
	i.tb.Helper()
	r := i.runFor(args)
	if r.Code != 0 {
		i.tb.Fatalf("a command failed: %v", r)
	}
	return r.Stdout
}

// Refused runs a command that must fail and gives all about it.
func (i *Installation) Refused(args ...string) Result {
	i.tb.Helper()
	r := i.runFor(args)
	if r.Code == 0 {
		i.tb.Fatalf("a command succeeded that must not: %v", r)
	}
	return r
}

func (i *Installation) runFor(args []string) Result {
	i.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*callTimeout)
	defer cancel()
	r, err := i.CLI(ctx, args...)
	if err != nil {
		i.tb.Fatalf("%v: %v", r, err)
	}
	return r
}

// Answer is an HTTP answer, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Version is the version of the endpoint that answered.
func (a Answer) Version() string { return a.Header.Get("azureml-model-deployment") }

// Decode reads the body as JSON.
func (a Answer) Decode(into any) error {
	if err := json.Unmarshal(a.Body, into); err != nil {
		return fmt.Errorf("the body of %v: %w", a, err)
	}
	return nil
}

func (a Answer) String() string { return fmt.Sprintf("%d %s %v", a.Status, a.Body, a.Header) }

// Score sends a scoring request. Without a key it has no Authorization header.
func (i *Installation) Score(ctx context.Context, endpoint, key string, body []byte, header http.Header) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, i.ScoreURL(endpoint), bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	for name, values := range header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	if request.Header.Get("Content-Type") == "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return i.Do(request)
}

// ScoreURL is where an endpoint of the workspace default is scored.
func (i *Installation) ScoreURL(endpoint string) string {
	return i.Data + "/api/v1/service/" + endpoint + "/score"
}

// REST calls the control plane with a body that is turned into JSON; nil is none.
func (i *Installation) REST(ctx context.Context, method, path string, body any) (Answer, error) {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return Answer{}, err
		}
		content = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, i.Server+path, content)
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+i.Token)
	request.Header.Set("Content-Type", "application/json")
	return i.Do(request)
}

// Do sends a request and reads the answer whole.
func (i *Installation) Do(request *http.Request) (Answer, error) {
	response, err := i.http.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return Answer{Status: response.StatusCode, Header: response.Header, Body: body}, err
}

// Conn is a gRPC connection to the control plane with the administrator's token.
// It belongs to the installation.
func (i *Installation) Conn() *grpc.ClientConn {
	i.tb.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.conn == nil {
		conn, err := grpc.NewClient("passthrough:///"+i.addresses["control"],
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(bearer(i.Token)))
		if err != nil {
			i.tb.Fatal(err)
		}
		i.conn = conn
	}
	return i.conn
}

// Anonymous is a gRPC connection to the control plane without a token. It ends
// with the test.
func (i *Installation) Anonymous() *grpc.ClientConn {
	i.tb.Helper()
	conn, err := grpc.NewClient("passthrough:///"+i.addresses["control"], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		i.tb.Fatal(err)
	}
	i.tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// bearer is a token on every call.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity is false: tests are on loopback.
func (bearer) RequireTransportSecurity() bool { return false }
