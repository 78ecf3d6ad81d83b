package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/cmd/internal/settings"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

// serverTimeout is how long the server may take to answer a question here.
const serverTimeout = 5 * time.Second

// server asks for the version and, with the token, for the workspace. It says
// whether something answered.
func server(ctx context.Context, s *session.Session, set settings.Settings) ([]finding, bool) {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	version, err := serverVersion(ctx, set.Server.Value)
	if err != nil {
		return []finding{{
			"server", fail, fmt.Sprintf("%s (from %s) does not answer: %v", set.Server.Value, set.Server.Source, rootCause(err)),
			"start one with `fairlead up`, or say where it is with --server or " + settings.ServerVariable,
		}}, false
	}
	found := []finding{{Check: "server", Result: ok, Detail: set.Server.Value + " answers"}}
	if version == s.Version {
		found = append(found, finding{Check: "version", Result: ok, Detail: version + ", here and at the server"})
	} else {
		found = append(found, finding{
			"version", warn, fmt.Sprintf("%s here, %s at the server", s.Version, version),
			"use the same version of fairlead on both sides",
		})
	}
	return append(found, access(ctx, s, set)), true
}

func serverVersion(ctx context.Context, server string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/v1/version", nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var body struct {
		Version string `json:"version"`
	}
	const enough = 4096
	err = json.NewDecoder(io.LimitReader(resp.Body, enough)).Decode(&body)
	if resp.StatusCode != http.StatusOK || err != nil || body.Version == "" {
		return "", fmt.Errorf("it is no Fairlead control plane: GET /v1/version answers %s", resp.Status)
	}
	return body.Version, nil
}

func rootCause(err error) error {
	if op, found := errors.AsType[*net.OpError](err); found {
		return op.Err
	}
	return err
}

// access asks for something that needs the token.
func access(ctx context.Context, s *session.Session, set settings.Settings) finding {
	if set.Token == "" {
		return finding{
			"token", fail, "there is none (" + set.TokenSource + ")",
			"set " + settings.TokenVariable + " or --token-file; `fairlead up` writes the administrator's to DATA-DIR/" + settings.AdminTokenFile,
		}
	}
	c, err := s.Client()
	if err == nil {
		_, err = c.Workspaces.GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: "workspaces/" + set.Workspace.Value})
	}
	if err == nil {
		return finding{Check: "token", Result: ok, Detail: "accepted, from " + set.TokenSource + "; workspace " + set.Workspace.Value + " is there"}
	}
	f := failure.From(err, s.Connection())
	if f.Code == failure.Authentication {
		return finding{"token", fail, "refused, from " + set.TokenSource + ": " + f.Message, "use the token of this server's data folder"}
	}
	return finding{"workspace", fail, f.Message, "choose another with -w, or make it with `fairlead workspace create`"}
}
