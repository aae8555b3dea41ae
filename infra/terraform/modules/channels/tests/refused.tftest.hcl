# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name                      = "chat"
  node_type                 = "cache.t4g.small"
  auth_token                = "aaaaaaaaaaaaaaaaaaaaaaaa"
  auth_token_version        = 1
  port                      = 6379
  kms_key_arn               = "arn:aws:kms:eu-central-1:123456789012:key/0"
  vpc_id                    = "vpc-0"
  subnet_ids                = ["subnet-0", "subnet-1", "subnet-2"]
  client_security_group_ids = { workers = "sg-0" }
}

run "accepted" {
  command = plan
}

run "refused_1" {
  command = plan

  variables {
    engine_version = "7.2"
    node_type      = "t4g.small"
    replicas       = 6
  }

  expect_failures = [
    var.engine_version,
    var.node_type,
    var.replicas,
  ]
}
