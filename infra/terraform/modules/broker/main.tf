# One Kafka broker on one small instance, for deployments where MSK's smallest
# cluster would cost more than all the rest. What is acknowledged is on its disk
# (it flushes every message, since no replica has it), but while the instance or
# its zone is away nothing is accepted, and losing the volume loses the topics
# up to the last archive. Traffic is not encrypted: it stays in the VPC, and
# security groups admit Sponge alone.

data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
}

data "aws_partition" "this" {}

resource "aws_security_group" "this" {
  name        = "${var.name}-queue"
  description = "The Kafka broker"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-queue" })
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.client_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = "Kafka, from ${each.key}"
  referenced_security_group_id = each.value
  from_port                    = var.port
  to_port                      = var.port
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "downloads" {
  security_group_id = aws_security_group.this.id
  description       = "Packages, Kafka itself, Systems Manager"
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

# For a shell there is Systems Manager: no SSH, no keys.
resource "aws_iam_role" "this" {
  name = "${var.name}-queue"
  tags = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "shell" {
  role       = aws_iam_role.this.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "this" {
  name = "${var.name}-queue"
  role = aws_iam_role.this.name
  tags = var.tags
}

# The topics, apart from the instance: it can be replaced.
resource "aws_ebs_volume" "topics" {
  availability_zone = var.zone
  type              = "gp3"
  size              = var.storage_gib
  encrypted         = true
  kms_key_id        = var.kms_key_arn
  final_snapshot    = true
  tags              = merge(var.tags, { Name = "${var.name}-topics" })
}

resource "aws_volume_attachment" "topics" {
  device_name                    = "/dev/sdf"
  volume_id                      = aws_ebs_volume.topics.id
  instance_id                    = aws_instance.this.id
  stop_instance_before_detaching = true
}

resource "aws_instance" "this" {
  #checkov:skip=CKV_AWS_88:Without a NAT gateway it needs a public address to fetch packages; its security group admits Sponge alone
  ami                         = data.aws_ssm_parameter.image.value
  instance_type               = var.instance_type
  subnet_id                   = var.subnet_id
  private_ip                  = var.private_ip # clients know it by this
  associate_public_ip_address = true
  vpc_security_group_ids      = [aws_security_group.this.id]
  iam_instance_profile        = aws_iam_instance_profile.this.name
  disable_api_termination     = var.deletion_protection
  ebs_optimized               = true
  monitoring                  = true
  user_data_replace_on_change = true
  tags                        = merge(var.tags, { Name = "${var.name}-queue" })

  user_data = templatefile("${path.module}/setup.sh.tftpl", {
    kafka_version = var.kafka_version
    private_ip    = var.private_ip
    port          = var.port
    volume        = replace(aws_ebs_volume.topics.id, "-", "")
    heap_mib      = var.heap_mib
  })

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = 8
    encrypted   = true
    kms_key_id  = var.kms_key_arn
  }

  # A newer image comes with the next replacement, not by itself.
  lifecycle {
    ignore_changes = [ami]
  }
}

# The hypervisor notices a dead host; this starts the instance on another.
resource "aws_cloudwatch_metric_alarm" "recover" {
  alarm_name          = "${var.name}-queue-recover"
  alarm_description   = "The host of the broker failed: it is started on another."
  namespace           = "AWS/EC2"
  metric_name         = "StatusCheckFailed_System"
  dimensions          = { InstanceId = aws_instance.this.id }
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 2
  alarm_actions       = ["arn:${data.aws_partition.this.partition}:automate:${data.aws_region.this.region}:ec2:recover"]
  tags                = var.tags
}

data "aws_region" "this" {}
