package archive

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// amazon is S3's endpoint where none is configured.
const amazon = "s3.amazonaws.com"

// bucket is a Store in an S3-compatible bucket. A blob is gathered in a local
// temporary file and put by one request, on the condition that its name is
// free. (A bucket that ignores conditions would let two archivers overwrite each
// other; Archiver tries that out.)
type bucket struct {
	client       *minio.Client
	name, prefix string
	retention    Retention
}

func openS3(name, prefix string, cfg StoreConfig) (*bucket, error) {
	endpoint, secure := cfg.Endpoint, true
	if endpoint == "" {
		endpoint = amazon
	}
	if scheme, rest, ok := strings.Cut(endpoint, "://"); ok {
		if scheme != "http" && scheme != "https" {
			return nil, fmt.Errorf("archive: S3 endpoint %q: it begins with https:// or http://", endpoint)
		}
		endpoint, secure = strings.TrimSuffix(rest, "/"), scheme == "https"
	}
	client, err := minio.New(endpoint, &minio.Options{
		Creds: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{},
			&credentials.IAM{Client: &http.Client{Transport: http.DefaultTransport, Timeout: 5 * time.Second}},
		}),
		Secure: secure, Region: cfg.Region,
	})
	if err != nil {
		return nil, fmt.Errorf("archive: S3 at %s: %w", endpoint, err)
	}
	return &bucket{client: client, name: name, prefix: prefix, retention: cfg.Retention}, nil
}

func (b *bucket) String() string { return "s3://" + path.Join(b.name, b.prefix) }

func (b *bucket) key(name string) string {
	if b.prefix == "" {
		return name
	}
	return b.prefix + "/" + name
}

func (b *bucket) failed(what, name string, err error) error {
	res := minio.ToErrorResponse(err)
	switch {
	case res.Code == minio.PreconditionFailed || res.StatusCode == http.StatusPreconditionFailed:
		return fmt.Errorf("%w: %s", ErrExists, name)
	case res.Code == minio.NoSuchKey:
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	return fmt.Errorf("archive: %s %s in %s: %w", what, name, b, err)
}

// Open implements Store.
func (b *bucket) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	// Core: one request that streams. An Object would ask again for each seek.
	r, _, _, err := (&minio.Core{Client: b.client}).GetObject(ctx, b.name, b.key(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, b.failed("read", name, err)
	}
	return r, nil
}

// Size implements Store.
func (b *bucket) Size(ctx context.Context, name string) (int64, error) {
	info, err := b.client.StatObject(ctx, b.name, b.key(name), minio.StatObjectOptions{})
	if err != nil {
		return 0, b.failed("look at", name, err)
	}
	return info.Size, nil
}

// Names implements Store.
func (b *bucket) Names(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		opts := minio.ListObjectsOptions{Prefix: b.key(prefix), Recursive: true}
		for object := range b.client.ListObjectsIter(ctx, b.name, opts) {
			if object.Err != nil {
				yield("", b.failed("list", prefix, object.Err))
				return
			}
			if !yield(strings.TrimPrefix(object.Key, b.key("")), nil) {
				return
			}
		}
		// The client ends a listing without a word when its context ends: half of a
		// list must not look like a whole one.
		if err := ctx.Err(); err != nil {
			yield("", b.failed("list", prefix, err))
		}
	}
}

// Create implements Store.
func (b *bucket) Create(context.Context) (Blob, error) {
	f, err := os.CreateTemp("", "sponge-archive-*")
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return &bucketBlob{b: b, f: f}, nil
}

type bucketBlob struct {
	b    *bucket
	f    *os.File
	size int64
	done bool
}

// Write implements io.Writer.
func (u *bucketBlob) Write(p []byte) (int, error) {
	n, err := u.f.Write(p)
	u.size += int64(n)
	return n, err
}

// Abort implements Blob.
func (u *bucketBlob) Abort() {
	if !u.done {
		u.done = true
		u.f.Close()
		os.Remove(u.f.Name())
	}
}

// Commit implements Blob.
func (u *bucketBlob) Commit(ctx context.Context, name string) error {
	defer u.Abort()
	if _, err := u.f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	// One request for the whole: conditions on parts are less widely known, and
	// the largest file is far below the 5 GiB that one request may bring.
	opts := minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true, SendContentMd5: true}
	opts.SetMatchETagExcept("*")
	if r := u.b.retention; r.Days > 0 {
		opts.Mode = minio.RetentionMode(r.Mode)
		opts.RetainUntilDate = time.Now().UTC().AddDate(0, 0, r.Days)
	}
	if _, err := u.b.client.PutObject(ctx, u.b.name, u.b.key(name), u.f, u.size, opts); err != nil {
		return u.b.failed("write", name, err)
	}
	return nil
}
