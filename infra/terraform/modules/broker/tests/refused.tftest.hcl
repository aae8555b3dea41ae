# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name                      = "chat"
  port                      = 9092
  private_ip                = "10.0.0.10"
  zone                      = "eu-central-1a"
  subnet_id                 = "subnet-0"
  vpc_id                    = "vpc-0"
  client_security_group_ids = {}
  kms_key_arn               = "arn:aws:kms:eu-central-1:123456789012:key/0"
}

run "accepted" {
  command = plan
}

run "refused_1" {
  command = plan

  variables {
    kafka_version = "3.9.0"
    instance_type = "t3.small"
    heap_mib      = 128
    storage_gib   = 4
    private_ip    = "here"
  }

  expect_failures = [
    var.kafka_version,
    var.instance_type,
    var.heap_mib,
    var.storage_gib,
    var.private_ip,
  ]
}
