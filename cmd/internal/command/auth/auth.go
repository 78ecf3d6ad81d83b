// Package auth has the commands for who may do what: signing in, roles, service
// principals and the audit log.
//
// Every command is built by a function and holds no state of its own.
package auth

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

// Command makes `fairlead auth`.
func Command(s *session.Session) *cobra.Command {
	return session.Group(&cobra.Command{
		Use:   "auth",
		Short: "Sign in, and look after roles, service principals and the audit log",
	}, login(s), logout(s), whoami(s), canI(s), audit(s), roleBindings(s), servicePrincipals(s), rotate(s))
}

func whoami(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "whoami",
		Short:   "Show who you are to the control plane, and your roles",
		Example: "  fairlead auth whoami",
		Args:    session.NoArgs,
	}
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		c, err := s.Client()
		if err != nil {
			return err
		}
		who, err := c.Identity.GetIdentity(ctx, &authv1.GetIdentityRequest{})
		if err != nil {
			return err
		}
		return s.Print(output.Document{Value: who, Names: []string{who.GetPrincipal()}, Text: func(t *output.Text) {
			t.Facts(
				output.Fact{Name: "Principal", Value: who.GetPrincipal()},
				output.Fact{Name: "Groups", Value: strings.Join(who.GetGroups(), ", ")},
				output.Fact{Name: "Token until", Value: output.Time(who.GetExpireTime())},
			)
			if len(who.GetGrants()) == 0 {
				return
			}
			rows := make([][]string, len(who.GetGrants()))
			for i, g := range who.GetGrants() {
				rows[i] = []string{roleName(g.GetRole()), g.GetScope(), resourcename.Last(g.GetRoleBinding())}
			}
			t.Blank()
			t.Table([]string{"ROLE", "FOR", "BY"}, rows)
		}})
	})
	return cmd
}

func canI(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "can-i METHOD|VERB [RESOURCE]",
		Short: "Say whether you may do something; exit code 4 when you may not",
		Long: `Says whether you may do something. It is named by a method of the API, or by a
verb (get or show, list, create, update, delete) and a resource such as endpoints/diabetes
or, for create and list, endpoints. With an endpoint, by a command of "fairlead endpoint" too:
get-token, get-keys, regen-key, revoke-tokens, get-logs, rollback, create-version, …`,
		Example: "  fairlead auth can-i delete endpoints/diabetes\n  fairlead auth can-i create models\n" +
			"  fairlead auth can-i get-token endpoints/diabetes\n" +
			"  fairlead auth can-i ListEndpointKeys endpoints/diabetes",
		Args: cobra.RangeArgs(1, 2),
	}
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		parent, err := s.Parent()
		if err != nil {
			return err
		}
		resource := ""
		if len(args) == 2 {
			resource = args[1]
		}
		req, err := question(cmd, args[0], resource, parent)
		if err != nil {
			return err
		}
		c, err := s.Client()
		if err != nil {
			return err
		}
		answer, err := c.Identity.TestAccess(ctx, req)
		if err != nil {
			return err
		}
		word := map[bool]string{true: "yes", false: "no"}[answer.GetAllowed()]
		err = s.Print(output.Document{Value: answer, Names: []string{word}, Text: func(t *output.Text) { t.Linef("%s", word) }})
		if err == nil && !answer.GetAllowed() {
			err = failure.New(failure.Authentication, "%s", answer.GetReason())
		}
		return err
	})
	return cmd
}

// question turns what the user typed into a method and the resource or parent
// that it would name.
func question(cmd *cobra.Command, action, resource, parent string) (*authv1.TestAccessRequest, error) {
	if resource != "" && !strings.HasPrefix(resource, "workspaces/") {
		resource = resourcename.Format(parent, resource)
	}
	verb := strings.ToLower(action)
	switch verb {
	case "show":
		verb = "get"
	case "get", "list", "create", "update", "delete":
	default:
		return named(cmd, action, resource, parent)
	}
	segments := strings.Split(resource, "/")
	if len(segments) < 3 {
		return nil, session.Usagef(cmd, "say what to %s, for example: fairlead auth can-i %s endpoints/diabetes", verb, verb)
	}
	last := len(segments) - 1
	if last%2 == 1 {
		last-- // the collection of a resource
	} else {
		resource = strings.Join(segments[:last], "/") // a collection: its parent
	}
	return &authv1.TestAccessRequest{Method: method(verb, segments[:last+1]), Resource: resource}, nil
}

// named is the question after a method, or after what a command for endpoints does.
func named(cmd *cobra.Command, action, resource, parent string) (*authv1.TestAccessRequest, error) {
	commands := endpointCommands()
	if method, ok := commands[action]; ok {
		if !strings.Contains(resource, "/endpoints/") {
			return nil, session.Usagef(cmd, "say for which endpoint, for example: fairlead auth can-i %s endpoints/diabetes", action)
		}
		return &authv1.TestAccessRequest{Method: method, Resource: resource}, nil
	}
	if action == strings.ToLower(action) && !strings.Contains(action, "/") { // no method is called so
		return nil, session.Usagef(cmd, "%q is neither a method of the API nor one of: get, show, list, create, update, delete, %s",
			action, strings.Join(slices.Sorted(maps.Keys(commands)), ", "))
	}
	if resource == "" {
		resource = parent
	}
	return &authv1.TestAccessRequest{Method: action, Resource: resource}, nil
}

// endpointCommands gives the methods that commands for an endpoint need by the
// commands' names. To score means to get a token: who has a key needs nobody's leave.
func endpointCommands() map[string]string {
	return map[string]string{
		"get-token": "GetEndpointToken", "get-access-token": "GetEndpointToken", "score": "GetEndpointToken", "run": "GetEndpointToken",
		"get-keys": "ListEndpointKeys", "regen-key": "RegenerateEndpointKey", "revoke-tokens": "RevokeEndpointTokens",
		"get-logs": "ReadEndpointLogs", "revisions": "ListEndpointVersionRevisions", "rollback": "RollbackEndpointVersion",
		"create-version": "CreateEndpointVersion", "update-version": "UpdateEndpointVersion", "delete-version": "DeleteEndpointVersion",
	}
}

// method gives the name that the API has for a verb on a collection.
func method(verb string, path []string) string {
	collection := path[len(path)-1]
	if collection == "versions" {
		collection = strings.TrimSuffix(path[len(path)-3], "s") + "Versions"
	}
	if collection == "models" && verb != "list" || collection == "modelVersions" && verb == "create" {
		verb, collection = "register", "models"
	}
	if verb != "list" {
		collection = strings.TrimSuffix(collection, "s")
	}
	return title(verb) + title(collection)
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func rotate(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-signing-key",
		Short: "Sign endpoints' tokens with the next key from now on",
		Example: "  fairlead auth rotate-signing-key\n" +
			"  fairlead auth rotate-signing-key --withdraw   # every token that exists becomes invalid",
		Args: session.NoArgs,
	}
	withdraw := cmd.Flags().Bool("withdraw", false, "make the keys before invalid at once, with every token that they signed")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		c, err := s.Client()
		if err != nil {
			return err
		}
		r, err := c.Tokens.RotateSigningKey(ctx, &authv1.RotateSigningKeyRequest{Withdraw: *withdraw})
		if err != nil {
			return err
		}
		return s.Print(output.Document{Value: r, Names: []string{r.GetKid()}, Text: func(t *output.Text) {
			t.Linef("tokens are signed with key %s", r.GetKid())
		}})
	})
	return cmd
}
