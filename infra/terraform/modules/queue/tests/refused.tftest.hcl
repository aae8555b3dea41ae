# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name                      = "chat"
  port                      = 9096
  credentials_secret_arn    = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x"
  vpc_cidr                  = "10.0.0.0/16"
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
    kafka_version = "3.9.x"
    brokers       = 4
    instance_type = "m7g.large"
    storage_gib   = 0
  }

  expect_failures = [
    var.kafka_version,
    var.brokers,
    var.instance_type,
    var.storage_gib,
  ]
}

run "storage_max_gib" {
  command = plan

  variables {
    storage_max_gib = 100
  }

  expect_failures = [var.storage_max_gib]
}
