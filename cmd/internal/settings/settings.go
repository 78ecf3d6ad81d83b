// Package settings finds out which control plane the command line talks to, as
// whom, and in which workspace, and remembers where each answer came from.
//
// A flag wins over an environment variable, which wins over the default. The
// package reads files and never writes; its values are immutable.
package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairlead/fairlead/cmd/internal/signin"
)

// The names of the environment variables.
const (
	ServerVariable    = "FAIRLEAD_SERVER"
	TokenVariable     = "FAIRLEAD_TOKEN"
	WorkspaceVariable = "FAIRLEAD_WORKSPACE"
	DataDirVariable   = "FAIRLEAD_DATA_DIR"
)

// What holds when nothing is said.
const (
	DefaultServer    = "http://127.0.0.1:8081"
	DefaultWorkspace = "default"
	fromDefault      = "default"
)

// AdminTokenFile is the file in a data directory that holds the administrator's token.
const AdminTokenFile = "admin.token"

// Flags are what was said on the command line; empty means not said.
type Flags struct {
	Server    string
	TokenFile string
	Workspace string
}

// Environment is where the rest comes from.
type Environment struct {
	Getenv  func(string) string
	HomeDir string
}

// Setting is a value and where it came from.
type Setting struct {
	Value  string
	Source string
}

// Token is a bearer token. It does not show its value when it is printed.
type Token string

// String hides the value.
func (t Token) String() string {
	if t == "" {
		return ""
	}
	return "[redacted]"
}

// Reveal gives the value, to be sent.
func (t Token) Reveal() string { return string(t) }

// Settings are all answers.
type Settings struct {
	Server      Setting
	Workspace   Setting
	DataDir     Setting
	Token       Token
	TokenSource string
	// SignIn is set when the token comes from a sign-in, which can renew it.
	SignIn *signin.Source
}

// Resolve finds the settings. A missing token is no error: the server says what
// it needs.
func Resolve(flags Flags, env Environment) (Settings, error) {
	s := Settings{
		Server:    env.choose(flags.Server, "--server", ServerVariable, DefaultServer),
		Workspace: env.choose(flags.Workspace, "--workspace", WorkspaceVariable, DefaultWorkspace),
		DataDir:   env.choose("", "", DataDirVariable, DefaultDataDir(env.HomeDir)),
	}
	address, err := parseServer(s.Server.Value)
	if err != nil {
		return Settings{}, fmt.Errorf("the server address %q (from %s) %w", s.Server.Value, s.Server.Source, err)
	}
	s.Server.Value = address.String()
	if flags.TokenFile == "" && env.Getenv(TokenVariable) == "" {
		if found, err := env.signIn(&s); found || err != nil {
			return s, err
		}
	}
	s.Token, s.TokenSource, err = env.token(flags.TokenFile, s.DataDir, address)
	return s, err
}

// signIn takes the sign-in for the server, if there is one.
func (e Environment) signIn(s *Settings) (found bool, err error) {
	store := signin.NewStore(e.HomeDir)
	c, found, err := store.Load(s.Server.Value)
	if found {
		s.Token, s.TokenSource = Token(c.IDToken), "fairlead auth login, by "+c.Issuer
		s.SignIn = signin.NewSource(store, s.Server.Value, c)
	}
	return found, err
}

// DefaultDataDir is where `fairlead up` keeps its data when nothing is said.
func DefaultDataDir(home string) string {
	return filepath.Join(home, ".local", "share", "fairlead")
}

func (e Environment) choose(flag, flagName, variable, fallback string) Setting {
	if flag != "" {
		return Setting{Value: flag, Source: flagName}
	}
	if v := e.Getenv(variable); v != "" {
		return Setting{Value: v, Source: variable}
	}
	return Setting{Value: fallback, Source: fromDefault}
}

// token looks in --token-file, the environment and the data directory. The
// default data directory counts only for a server on this machine: an
// administrator's token must not reach a server that it was not made for.
func (e Environment) token(file string, dataDir Setting, server *url.URL) (Token, string, error) {
	if file != "" {
		t, err := readToken(file)
		if err != nil {
			return "", "", fmt.Errorf("--token-file: %w", err)
		}
		return t, "--token-file " + file, nil
	}
	if v := strings.TrimSpace(e.Getenv(TokenVariable)); v != "" {
		return Token(v), TokenVariable, nil
	}
	path := filepath.Join(dataDir.Value, AdminTokenFile)
	if dataDir.Source == fromDefault && !IsLoopback(server.Hostname()) {
		return "", "none: the local administrator's token is not sent to another machine", nil
	}
	t, err := readToken(path)
	switch {
	case err == nil:
		return t, path, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", "none: " + path + " does not exist", nil
	case dataDir.Source == fromDefault:
		return "", "none: " + err.Error(), nil
	}
	return "", "", err
}

func readToken(path string) (Token, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(content))
	if text == "" || strings.ContainsAny(text, " \n\r\t") {
		return "", fmt.Errorf("%s does not hold one token", path)
	}
	return Token(text), nil
}

func parseServer(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("is not a URL; it looks like " + DefaultServer)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("names no host; it looks like " + DefaultServer)
	case u.User != nil:
		return nil, errors.New("must not hold a user or password; tokens go to " + TokenVariable)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return nil, errors.New("must not have a path")
	}
	if u.Port() == "" {
		port := "80"
		if u.Scheme == "https" {
			port = "443"
		}
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	u.Path = ""
	return u, nil
}

// IsLoopback says whether host is this machine.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
