package endpoint

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/apierr"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

const (
	// dataURLVariable says where the data plane is, for endpoints whose whole
	// address the control plane does not know.
	dataURLVariable = "FAIRLEAD_DATA_URL"
	dataPort        = "8080"
	versionHeader   = "azureml-model-deployment"
	requestIDHeader = "x-ms-request-id"
	// shownAnswerBytes is how much of a refused request's answer is shown.
	shownAnswerBytes = 64 << 10
)

func score(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run [NAME]",
		Short: "Score data with an endpoint's key or a token and print the answer",
		Example: "  fairlead endpoint run -n diabetes -d '{\"data\": [[1,2,3,4,5,6,7,8,9,10]]}'\n" +
			"  fairlead endpoint run -n diabetes -d @request.json --version versionb",
	}
	addName(s, cmd)
	data := cmd.Flags().StringP("data", "d", "", "JSON, @FILE or @- for standard input (--input-data)")
	version := cmd.Flags().String("version", "", "ask this version, whatever its share")
	base := cmd.Flags().String("url", "", "address of the data plane ("+dataURLVariable+"; default what the endpoint says)")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		if err := session.Required(cmd, "data"); err != nil {
			return err
		}
		body, err := input(s, *data)
		if err != nil {
			return err
		}
		defer func() { _ = body.Close() }()
		req, err := t.scoringRequest(ctx, s, body, scoringOptions{version: *version, base: *base})
		if err != nil {
			return err
		}
		return send(s, t, req)
	})
	completeVersions(s, cmd, "version")
	return cmd
}

func input(s *session.Session, data string) (io.ReadCloser, error) {
	file, ok := strings.CutPrefix(data, "@")
	switch {
	case !ok:
		return io.NopCloser(strings.NewReader(data)), nil
	case file == "-":
		return io.NopCloser(s.Streams.In), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, failure.New(failure.Error, "the data cannot be read: %v", err)
	}
	return f, nil
}

// scoringOptions say which version is to answer and where the data plane is; empty
// means whichever and the usual place.
type scoringOptions struct{ version, base string }

// scoringRequest makes the request that any caller of the endpoint would make.
func (t target) scoringRequest(ctx context.Context, s *session.Session, body io.Reader, o scoringOptions) (*http.Request, error) {
	e, secret, err := t.opened(ctx)
	if err != nil {
		return nil, err
	}
	address, err := ScoringAddress(s, e)
	if err != nil {
		return nil, err
	}
	if o.base != "" {
		address = strings.TrimSuffix(o.base, "/") + e.GetScoringPath()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if o.version != "" {
		req.Header.Set(versionHeader, o.version)
	}
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	return req, nil
}

// opened gives the endpoint and what opens it. Who may score and nothing else can't
// look at the endpoint: a token is asked for at once, and its path is known.
func (t target) opened(ctx context.Context) (*deployv1.Endpoint, string, error) {
	// Asked before, and not found out by a refusal: refusals are for the audit log.
	looks, err := t.client.Identity.TestAccess(ctx, &authv1.TestAccessRequest{
		Method: deployv1.EndpointService_GetEndpoint_FullMethodName, Resource: t.name,
	})
	if err != nil || looks.GetAllowed() { // what can't be asked is tried
		e, err := t.client.Endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: t.name})
		if err != nil {
			return nil, "", err
		}
		secret, err := t.secret(ctx, e.GetAuthMode())
		return e, secret, err
	}
	e := &deployv1.Endpoint{Name: t.name, ScoringPath: t.scoringPath()}
	token, err := t.client.Tokens.GetEndpointToken(ctx, &authv1.GetEndpointTokenRequest{Name: t.name})
	refusal := apierr.FromStatus(err)
	if e.ScoringUri = token.GetScoringUri(); refusal != nil {
		e.ScoringUri = refusal.Metadata["scoringUri"]
	}
	switch {
	case err == nil:
		return e, token.GetAccessToken(), nil
	case refusal.Reason == "ENDPOINT_NOT_IN_TOKEN_MODE" && refusal.Metadata["mode"] == "none":
		return e, "", nil
	case refusal.Reason == "ENDPOINT_NOT_IN_TOKEN_MODE":
		return nil, "", failure.New(failure.Authentication,
			"endpoint %s is opened by its keys, and you may not see them: ask a Contributor for one and send it to %s, or have the endpoint use tokens",
			t.id, cmp.Or(e.GetScoringUri(), t.scoringPath()))
	}
	return nil, "", err
}

// scoringPath is where every router has the endpoint.
func (t target) scoringPath() string {
	if parent := t.workspace(); parent != "workspaces/default" {
		return "/api/v1/" + parent + "/service/" + t.id + "/score"
	}
	return "/api/v1/service/" + t.id + "/score"
}

// secret is what opens the endpoint: a key, a token, or nothing.
func (t target) secret(ctx context.Context, mode deployv1.Endpoint_AuthMode) (string, error) {
	switch mode {
	case deployv1.Endpoint_AUTH_MODE_NONE:
		return "", nil
	case deployv1.Endpoint_AUTH_MODE_TOKEN:
		token, err := t.client.Tokens.GetEndpointToken(ctx, &authv1.GetEndpointTokenRequest{Name: t.name})
		return token.GetAccessToken(), err
	case deployv1.Endpoint_AUTH_MODE_UNSPECIFIED, deployv1.Endpoint_AUTH_MODE_KEY:
	}
	keys, err := t.client.EndpointKeys.ListEndpointKeys(ctx, &authv1.ListEndpointKeysRequest{Name: t.name})
	return keys.GetPrimaryKey(), err
}

// ScoringAddress is where the user says the data plane is, else where the
// endpoint says, else the data plane's usual port on the server's host.
func ScoringAddress(s *session.Session, e *deployv1.Endpoint) (string, error) {
	if base := s.Getenv(dataURLVariable); base != "" {
		return strings.TrimSuffix(base, "/") + e.GetScoringPath(), nil
	}
	if e.GetScoringUri() != "" {
		return e.GetScoringUri(), nil
	}
	set, err := s.Settings()
	if err != nil {
		return "", err
	}
	server, err := url.Parse(set.Server.Value)
	if err != nil {
		return "", err
	}
	return server.Scheme + "://" + net.JoinHostPort(server.Hostname(), dataPort) + e.GetScoringPath(), nil
}

func send(s *session.Session, t target, req *http.Request) error {
	// The key goes to the endpoint's address and nowhere else.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		if req.Context().Err() != nil {
			return context.Cause(req.Context())
		}
		f := failure.New(failure.Error, "the data plane does not answer: %v", err)
		return f.ThenTry("say where it is:  --url http://HOST:PORT or " + dataURLVariable)
	}
	defer func() { _ = resp.Body.Close() }()
	s.Logger().Debug("scored", "status", resp.StatusCode, "version", resp.Header.Get(versionHeader),
		"request_id", resp.Header.Get(requestIDHeader))
	if resp.StatusCode/100 != 2 {
		return refused(t, resp)
	}
	tail := &lastByte{w: s.Streams.Out}
	if _, err := io.Copy(tail, resp.Body); err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	if tail.last != '\n' {
		_, err = io.WriteString(s.Streams.Out, "\n")
	}
	return err
}

// lastByte remembers the last byte that was written.
type lastByte struct {
	w    io.Writer
	last byte
}

func (l *lastByte) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.last = p[len(p)-1]
	}
	return l.w.Write(p)
}

// refused says why the endpoint did not score.
func refused(t target, resp *http.Response) error {
	content, _ := io.ReadAll(io.LimitReader(resp.Body, shownAnswerBytes)) // what came of it is shown
	f := failure.New(codeFor(resp.StatusCode), "endpoint %s answered %s: %s", t.id, resp.Status, reason(content))
	f.RequestID = resp.Header.Get(requestIDHeader)
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusInternalServerError:
		return f.ThenTry("fairlead endpoint get-logs -n " + t.id + " -l 50")
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return f.ThenTry("fairlead endpoint show -n " + t.id)
	}
	return f
}

func codeFor(status int) failure.Code {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return failure.Authentication
	case http.StatusNotFound:
		return failure.Precondition
	}
	return failure.Error
}

// reason takes the message out of a JSON answer; another answer is shown as it is.
func reason(content []byte) string {
	var body struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(content, &body) == nil && body.Message != "" {
		return body.Message
	}
	return string(bytes.TrimSpace(content))
}
