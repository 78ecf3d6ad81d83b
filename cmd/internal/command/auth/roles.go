package auth

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

func roleBindings(s *session.Session) *cobra.Command {
	return session.Group(&cobra.Command{
		Use:   "role-binding",
		Short: "Say who has which role in a workspace",
	}, listBindings(s), createBinding(s), deleteBinding(s))
}

// roleName gives a role as people write it.
func roleName(r authv1.Role) string {
	return title(strings.ToLower(strings.TrimPrefix(r.String(), "ROLE_")))
}

func bindingsDocument(bindings ...*authv1.RoleBinding) output.Document {
	d := output.Document{List: []proto.Message{}}
	var rows [][]string
	for _, b := range bindings {
		id := resourcename.Last(b.GetName())
		d.List, d.Names = append(d.List, b), append(d.Names, id)
		rows = append(rows, []string{id, b.GetPrincipal(), roleName(b.GetRole()), b.GetScope(), output.OrDash(b.GetCreatedBy())})
	}
	d.Text = func(t *output.Text) { t.Table([]string{"NAME", "PRINCIPAL", "ROLE", "FOR", "BY"}, rows) }
	return d
}

func listBindings(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the roles that were given in a workspace",
		Example: "  fairlead auth role-binding list -w team-a", Args: session.NoArgs,
	}
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		parent, err := s.Parent()
		if err != nil {
			return err
		}
		c, err := s.Client()
		if err != nil {
			return err
		}
		bindings, err := c.AllRoleBindings(ctx, parent)
		if err != nil {
			return err
		}
		return s.Print(bindingsDocument(bindings...))
	})
	return cmd
}

func createBinding(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Give somebody a role in a workspace, or for one endpoint",
		Example: "  fairlead auth role-binding create --principal user:ann@example.com --role Contributor\n" +
			"  fairlead auth role-binding create --principal group:callers --role Scorer --endpoint diabetes",
		Args: session.NoArgs,
	}
	fs := cmd.Flags()
	id := fs.StringP("name", "n", "", "name of the role binding; empty means a made-up one")
	principal := fs.String("principal", "", "user:NAME, group:NAME or serviceprincipal:NAME")
	role := fs.String("role", "", "Owner, Contributor, Reader or Scorer")
	endpoint := fs.String("endpoint", "", "for this endpoint only")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"Owner", "Contributor", "Reader", "Scorer"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		if err := session.Required(cmd, "principal", "role"); err != nil {
			return err
		}
		value, ok := authv1.Role_value["ROLE_"+strings.ToUpper(*role)]
		if !ok || value == 0 {
			return session.Usagef(cmd, "--role %s: must be Owner, Contributor, Reader or Scorer", *role)
		}
		parent, err := s.Parent()
		if err != nil {
			return err
		}
		binding := &authv1.RoleBinding{Principal: *principal, Role: authv1.Role(value)}
		if *endpoint != "" {
			if binding.Scope, err = s.Name("endpoints", *endpoint); err != nil {
				return err
			}
		}
		c, err := s.Client()
		if err != nil {
			return err
		}
		made, err := c.RoleBindings.CreateRoleBinding(ctx, &authv1.CreateRoleBindingRequest{
			Parent: parent, RoleBindingId: *id, RoleBinding: binding,
		})
		if err != nil {
			return err
		}
		d := bindingsDocument(made)
		d.List, d.Value = nil, made
		return s.Print(d)
	})
	return cmd
}

func deleteBinding(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete [NAME]", Short: "Take a role away",
		Example: "  fairlead auth role-binding delete -n ann-contributes",
	}
	cmd.Flags().StringP("name", "n", "", "the role binding")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		name, c, err := s.Find(cmd, "roleBindings", "role binding", args)
		if err != nil {
			return err
		}
		_, err = c.RoleBindings.DeleteRoleBinding(ctx, &authv1.DeleteRoleBindingRequest{Name: name})
		if err == nil {
			s.Notef("deleted %s", resourcename.Last(name))
		}
		return err
	})
	return cmd
}
