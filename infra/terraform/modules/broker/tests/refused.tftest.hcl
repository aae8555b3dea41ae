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

run "kafka_version" {
  command = plan
  variables {
    kafka_version = "3.9.0"
  }
  expect_failures = [var.kafka_version]
}

run "instance_type" {
  command = plan
  variables {
    instance_type = "t3.small"
  }
  expect_failures = [var.instance_type]
}

run "heap_mib" {
  command = plan
  variables {
    heap_mib = 128
  }
  expect_failures = [var.heap_mib]
}

run "storage_gib" {
  command = plan
  variables {
    storage_gib = 4
  }
  expect_failures = [var.storage_gib]
}

run "private_ip" {
  command = plan
  variables {
    private_ip = "here"
  }
  expect_failures = [var.private_ip]
}
