package model

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/progress"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

type registration struct {
	name, path, description     string
	framework, frameworkVersion string
	tags, properties            []string
	metadataFile                string
	validateOnly                bool
}

func register(s *session.Session) *cobra.Command {
	var r registration
	cmd := &cobra.Command{
		Use:   "register",
		Short: "Register a file or a folder as the next version of a model",
		Example: "  fairlead model register -n diabetes -p model.pkl --tag area=diabetes\n" +
			"  fairlead model register -n resnet -p ./saved_model --model-framework TensorFlow",
		Args: session.NoArgs,
	}
	fs := cmd.Flags()
	fs.StringVarP(&r.name, "name", "n", "", "name of the model")
	fs.StringVarP(&r.path, "model-path", "p", "", "`FILE` or folder on this machine (--asset-path)")
	fs.StringArrayVar(&r.tags, "tag", nil, "label KEY=VALUE; repeat for more")
	fs.StringArrayVar(&r.properties, "property", nil, "fact KEY=VALUE that cannot change; repeat for more")
	fs.StringVarP(&r.description, "description", "d", "", "for people")
	fs.StringVar(&r.framework, "model-framework", "", "Custom, TensorFlow, ScikitLearn, Onnx or TfKeras")
	fs.StringVar(&r.frameworkVersion, "model-framework-version", "", "for example 1.2.1")
	fs.StringVarP(&r.metadataFile, "output-metadata-file", "t", "", "write the model's id to this `FILE`, for \"model deploy -f\"")
	fs.BoolVar(&r.validateOnly, "validate-only", false, "check everything, change nothing")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		if err := session.Required(cmd, "name", "model-path"); err != nil {
			return err
		}
		return r.run(ctx, s, cmd)
	})
	s.CompleteFlag(cmd, "name", Names)
	return cmd
}

func (r *registration) run(ctx context.Context, s *session.Session, cmd *cobra.Command) error {
	req, err := r.request(s, cmd)
	if err != nil {
		return err
	}
	files, err := upload.ScanModel(r.path)
	if err != nil {
		return failure.New(failure.Error, "the model cannot be read: %v", err)
	}
	c, err := s.Client()
	if err != nil {
		return err
	}
	display := s.Progress("Registering " + r.name)
	m, err := r.send(ctx, s, c, display, req, files)
	display.End(err == nil)
	if err != nil {
		return failure.InFlags(err, map[string]string{
			"model_id": "-n", "model_version.description": "-d", "model_version.tags": "--tag", "model_version.properties": "--property",
			"model_version.framework": "--model-framework", "model_version.framework_version": "--model-framework-version", "files": "-p",
		})
	}
	if r.metadataFile != "" && !r.validateOnly {
		if err := writeMetadata(r.metadataFile, m); err != nil {
			return err
		}
	}
	return s.Print(registered(m))
}

func (r *registration) request(s *session.Session, cmd *cobra.Command) (*deployv1.RegisterModelRequest, error) {
	tags, err := session.Pairs(cmd, "tag", r.tags)
	if err != nil {
		return nil, err
	}
	properties, err := session.Pairs(cmd, "property", r.properties)
	if err != nil {
		return nil, err
	}
	parent, err := s.Parent()
	return &deployv1.RegisterModelRequest{
		Parent:  parent,
		ModelId: r.name,
		ModelVersion: &deployv1.ModelVersion{
			Description: r.description, Tags: tags, Properties: properties,
			Framework: r.framework, FrameworkVersion: r.frameworkVersion,
		},
		RequestId: client.NewRequestID(),
	}, err
}

// send has the request checked before the first byte goes out: nobody waits for
// an upload to learn that a name is wrong.
func (r *registration) send(ctx context.Context, s *session.Session, c *client.Client, display *progress.Display,
	req *deployv1.RegisterModelRequest, files []upload.File,
) (*deployv1.ModelVersion, error) {
	display.Step(s.Now(), "reading "+upload.Describe(files, output.Bytes))
	if err := upload.Hash(ctx, files); err != nil {
		return nil, err
	}
	req.Files = upload.Artefacts(files)
	req.ValidateOnly = true
	m, err := c.Models.RegisterModel(ctx, req)
	if r.validateOnly || wrongBesidesContent(err) {
		return m, err
	}
	display.Step(s.Now(), "uploading "+upload.Describe(files, output.Bytes))
	up := &upload.Uploader{Artefacts: c.Artefacts, Parent: req.GetParent(), Progress: func(sent, total int64) {
		display.Status(output.Bytes(sent) + " of " + output.Bytes(total))
	}}
	if err := up.Upload(ctx, files); err != nil {
		return nil, err
	}
	display.Step(s.Now(), "registering")
	req.ValidateOnly = false
	return c.Models.RegisterModel(ctx, req)
}

// wrongBesidesContent says whether a check failed for more than contents that
// are not at the server yet.
func wrongBesidesContent(err error) bool {
	if err == nil {
		return false
	}
	e := apierr.FromStatus(err)
	if e.Kind != apierr.InvalidArgument {
		return e.Kind != apierr.NotFound && e.Kind != apierr.FailedPrecondition
	}
	return len(e.Violations) == 0 || slices.ContainsFunc(e.Violations, func(v apierr.Violation) bool {
		return !strings.HasPrefix(v.Field, "files")
	})
}

func registered(m *deployv1.ModelVersion) output.Document {
	d := one(m)
	d.Text = func(t *output.Text) {
		t.Linef("%s", output.Clean(m.GetId()))
	}
	return d
}

// writeMetadata writes what `model deploy -f` reads, under the names that the
// old command line gave it.
func writeMetadata(file string, m *deployv1.ModelVersion) error {
	content, err := json.MarshalIndent(struct {
		ModelID       string `json:"modelId"`
		WorkspaceName string `json:"workspaceName"`
		ModelName     string `json:"modelName"`
		ModelVersion  int64  `json:"modelVersion"`
		Digest        string `json:"digest"`
	}{m.GetId(), resourcename.Workspace(m.GetName()), m.GetModel(), m.GetVersion(), m.GetDigest()}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(content, '\n'), 0o644); err != nil {
		return fmt.Errorf("%s is registered, but its metadata could not be written: %w", m.GetId(), err)
	}
	return nil
}
